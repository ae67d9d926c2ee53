// Reads the events of a program as a window does, keeps something of the last ones, and prints how many there were.
import GLib from 'gi://GLib?version=2.0';
import { CofferProcess } from '../../../dom0-agent/gui/coffer-process.ts';
import system from 'system';

const loop = new GLib.MainLoop(null, false);
void readAll().finally(() => loop.quit());
loop.run();

async function readAll(): Promise<void> {
  const kept: object[] = [];
  let count = 0;
  for await (const event of new CofferProcess(system.programArgs, [])) {
    const more = Array.from({ length: 30 }, (_, index) => ({ index, text: `${count} ${index}` }));
    kept[count % 3000] = { event, more };
    count++;
  }
  print(`${count} events`);
}
