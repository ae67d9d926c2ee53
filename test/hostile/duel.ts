import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { AgentStorage } from '../../dom0-agent/transport/agent-storage.ts';
import { localProcess } from '../../dom0-agent/transport/local-process.ts';
import type {
  Assembly,
  DeletedBackup,
  FetchSource,
  Listing,
} from '../../dom0-agent/transport/storage.ts';
import { TIME_LIMITS, type TimeLimits } from '../../dom0-agent/transport/time-limits.ts';
import type { Service } from '../../protocol/conversation.ts';
import { CofferError, systemCodeOf } from '../../shared/errors.ts';
import { eventually } from '../eventually.ts';
import { NOTES_FILE, type Notes, SCRIPT_FILE, type Step } from './script.ts';

/** Limits that a test can wait for. Only the classes can be given them, not the programs. */
export const SHORT: TimeLimits = {
  answer: 1_500,
  silence: 1_500,
  stall: 1_500,
  finish: 1_500,
  exit: 500,
};

/** Limits that only a silent agent reaches. */
const PATIENT: TimeLimits = { ...TIME_LIMITS, answer: 20_000, silence: 20_000, stall: 20_000 };

/** The result of one service on dom0's side. */
export interface Duel {
  readonly error: unknown;
  readonly milliseconds: number;
  readonly listing?: Listing;
  readonly deletions?: readonly DeletedBackup[];
}

/**
 * Uses one service of a hostile agent through the classes that coffer uses: stores 3 MB, reads all of a file (its second
 * half first) or of a command's output, lists a directory, deletes, or assembles. The agent must have ended afterwards.
 */
export async function duel(
  agent: string,
  service: Service,
  steps: readonly Step[],
  limits: TimeLimits = PATIENT,
  source: FetchSource & { readonly through?: string } = { file: 'backups/one' },
): Promise<Duel> {
  const home = mkdtempSync(join(tmpdir(), 'coffer-duel-'));
  try {
    writeFileSync(join(home, SCRIPT_FILE), JSON.stringify({ [service]: steps }));
    const storage = new AgentStorage('usb', localProcess(agent, home), limits, source.through);
    const begun = performance.now();
    const outcome = await use(storage, service, source).then(
      (got) => ({ error: undefined, ...got }),
      (error: unknown) => ({ error }),
    );
    const milliseconds = performance.now() - begun;
    await expectGone(JSON.parse(readFileSync(join(home, NOTES_FILE), 'utf8')) as Notes);
    return { ...outcome, milliseconds };
  } finally {
    rmSync(home, { recursive: true });
  }
}

/** Checks that it ended in an error of coffer's with this text, an exit status of its own, and no control characters. */
export function expectDetected({ error }: Duel, what: string, text: RegExp): void {
  expect(error, what).toBeInstanceOf(CofferError);
  const { message, exitStatus } = error as CofferError;
  expect(message, what).toMatch(text);
  expect(message.length, what).toBeLessThan(1_500);
  expect(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.exec(message), `${what}: ${message}`).toBeNull();
  expect([4, 5], what).toContain(exitStatus);
}

async function use(
  storage: AgentStorage,
  service: Service,
  from: FetchSource,
): Promise<Partial<Duel>> {
  const { signal } = new AbortController();
  switch (service) {
    case 'Delete':
      return { deletions: await storage.deleteBackups('backups', ['one', 'two', 'three'], signal) };
    case 'Assemble': {
      const target = { directory: 'backups', fileName: 'pack' };
      await using assembly: Assembly = await storage.openAssembly(target, undefined, signal);
      await assembly.write(Buffer.alloc(1_000_000, 1));
      for (let i = 0; i < 3; i++) await assembly.copy('one', i, 300_000_000);
      await assembly.write(Buffer.alloc(1_000_000, 2));
      await assembly.finish();
      return {};
    }
    case 'Browse':
      return { listing: await storage.browse('backups', signal) };
    case 'Store': {
      const target = { directory: 'backups', fileName: 'one' };
      await using sink = await storage.openSink(target, undefined, signal);
      for (let i = 0; i < 3; i++) await sink.write(Buffer.alloc(1_000_000, i));
      await sink.finish();
      return {};
    }
    case 'Fetch': {
      await using source = await storage.openSource(from, signal);
      const middle = source.seekable ? Math.floor((source.size ?? 0) / 2) : 0;
      for (const from of new Set([middle, 0])) {
        for await (const chunk of source.read(from)) expect(chunk.length).toBeGreaterThan(0);
      }
      return {};
    }
  }
}

/** An agent that ignores signals is killed, which takes the connector some seconds. */
async function expectGone({ pid }: Notes): Promise<void> {
  await eventually(() => !isAlive(pid), 'the end of the agent');
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    if (systemCodeOf(error) === 'ESRCH') return false;
    throw error;
  }
}
