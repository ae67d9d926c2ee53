import { writeFileSync } from 'node:fs';
import { stderr, stdout } from 'node:process';
import type { WriteStream } from 'node:tty';
import { FailedError, messageOf } from '../../shared/errors.ts';
import { printableJson, printableLines } from '../../shared/printable.ts';
import { type Event, SCHEMA } from './events.ts';
import { LiveBlock, columnsOf } from './live-block.ts';
import { launchState } from './launch-state.ts';
import { fitted } from './wrapped.ts';

/*
 * The only place that writes to the user. All output is made printable, wrapped between words on a terminal, and
 * appears above the live lines, if there are any.
 */

/** Why the result could not be written. */
let outputFailure: Error | undefined;

/** The lines at the bottom that show progress, if standard error is a terminal. */
export const liveBlock = new LiveBlock(stderr);

/** The width available for the result; unlimited if standard output is not a terminal. */
export function resultColumns(): number {
  return widthOf(stdout);
}

function widthOf(stream: WriteStream): number {
  return stream.isTTY ? columnsOf(stream) : Infinity;
}

/** Writes a part of the result, for people. */
export function showResult(text: string): void {
  write(stdout, `${fitted(printableLines(text), widthOf(stdout))}\n`);
}

/** Writes an event, for programs, as one line. */
export function showEvent(event: Event): void {
  write(stdout, `${printableJson({ schema: SCHEMA, ...event })}\n`);
}

/**
 * Shows what a question is about, on the terminal where the question is asked, so that whoever answers has seen it.
 *
 * @param isAside it is not part of the result
 */
export function showForAnswer(text: string, isAside: boolean): void {
  if (isAside || !stdout.isTTY) {
    try {
      const columns = Math.min(widthOf(stdout), widthOf(stderr));
      writeFileSync('/dev/tty', `${fitted(printableLines(text), columns)}\n`);
      return;
    } catch {
      // There is no terminal, and there will be no question.
    }
  }
  if (isAside) showNotice(text);
  else showResult(text);
}

/** Writes a line about progress, a warning or an error. */
export function showNotice(text: string): void {
  write(stderr, `${fitted(printableLines(text), widthOf(stderr))}\n`);
}

/** Waits until everything is written. Throws FailedError when the result could not be written completely. */
export async function requireWritten(): Promise<void> {
  await flushed(stdout);
  await flushed(stderr);
  if (outputFailure === undefined) return;
  const why = messageOf(outputFailure);
  throw new FailedError(`the result could not be written to standard output: ${why}`, {
    cause: outputFailure,
  });
}

function write(stream: WriteStream, text: string): void {
  if (stream === stdout && launchState.closedOutput) {
    outputFailure ??= new Error('it is closed');
    return;
  }
  liveBlock.above(() => void stream.write(text));
}

function flushed(stream: WriteStream): Promise<void> {
  if (stream.destroyed) return Promise.resolve();
  return new Promise((resolve) => stream.write('', () => resolve()));
}

stdout.on('error', (error: Error) => (outputFailure ??= error));
// There is nowhere left to report this, but without a listener it would end coffer.
stderr.on('error', () => undefined);
