import { closeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { ExitStatus } from '../../shared/errors.ts';
import { liveLine, showNotice } from './screen.ts';

/** Standard input, output and error, those that are terminals. */
const terminals = [0, 1, 2].filter((fd) => isatty(fd));
let isOver = false;

/** Ends coffer, whatever is still open: what is not awaited until now does not count. */
export function endWith(exitStatus: number): void {
  isOver = true;
  process.exit(exitStatus);
}

// Whatever happens, silence is no success: should everything come to rest before the end, that is a failure.
process.exitCode = ExitStatus.failed;
process.on('exit', () => {
  liveLine.end();
  if (!isOver) showNotice('coffer: it stopped before the end, through a fault of its own');
  // Node.js puts their modes back at its end, and aborts when one is gone.
  for (const fd of terminals) if (!isatty(fd)) closeSync(fd);
});
