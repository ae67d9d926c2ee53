import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import { eventually } from '../eventually.ts';
import { Box } from './box.ts';

/** Interrupts a run as soon as `begun` holds; returns its exit status and standard error. */
async function interrupt(
  box: Box,
  args: readonly string[],
  begun: () => boolean,
): Promise<{ status: unknown; stderr: string }> {
  const coffer = box.start(args);
  const said = text(coffer.stderr);
  const ended = once(coffer, 'close');
  await eventually(begun, 'the work has begun');
  coffer.kill('SIGINT');
  const [status] = (await ended) as unknown[];
  return { status, stderr: await said };
}

describe('an interrupted restore', () => {
  /** Begins to restore `work` from a stream that stops in the middle of its volume. */
  async function interruptRestore(...flags: readonly string[]) {
    const box = await Box.full(onTestFinished);
    const file = box.backUp(['--compress-filter', 'none']);
    const half = `head -c 300000 ${file}; exec sleep 600`;
    const where = ['-d', 'usb', ...box.secret, '--command', '--rename-conflicting', '-y'];
    const created = (): boolean =>
      readFileSync(join(box.directory, 'qubes.xml'), 'utf8').includes('work-1');
    const end = await interrupt(box, ['restore', ...where, ...flags, half, 'work'], created);
    expect(end.status).toBe(130);
    return { ...end, isLeft: created() };
  }

  it('says that it was rolled back if nothing is left', async () => {
    const { stderr, isLeft } = await interruptRestore();
    expect(isLeft).toBe(false);
    expect(stderr).toMatch(/^coffer: interrupted by SIGINT: all changes have been rolled back$/m);
  });

  it('names what is left with --keep-failed', async () => {
    const { stderr, isLeft } = await interruptRestore('--keep-failed');
    expect(isLeft).toBe(true);
    expect(stderr).toMatch(/^coffer: interrupted by SIGINT: .* these are left: work-1$/m);
    expect(stderr).not.toMatch(/have been rolled back/);
  });
});

describe('an interrupted backup', () => {
  it('to a directory is discarded', async () => {
    const box = await Box.full(onTestFinished);
    const where = ['-d', 'usb', ...box.secret, '-y', '--kdf-cost', '18'];
    const partial = (): boolean => readdirSync(box.backups).length > 0;
    const { status, stderr } = await interrupt(box, ['backup', ...where, 'backups'], partial);
    expect(status).toBe(130);
    expect(stderr).toMatch(/interrupted by SIGINT: the unfinished backup is discarded$/m);
    // Of an agent that had only just created the file, the cleanup process may still be at it.
    await eventually(() => readdirSync(box.backups).length === 0, 'the end of the unfinished file');
  });

  it('to a command makes no claim about what the command has written', async () => {
    const box = await Box.full(onTestFinished);
    const taken = join(box.directory, 'taken');
    const command = `head -c 1 >${taken}; exec sleep 600`;
    const where = ['-d', 'usb', ...box.secret, '-y', '--compress-filter', 'none', '--command'];
    const { status, stderr } = await interrupt(box, ['backup', ...where, command], () =>
      existsSync(taken),
    );
    expect(status).toBe(130);
    expect(stderr).toMatch(
      /interrupted by SIGINT: what the command had written by then is still there$/m,
    );
  });
});
