import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Service } from '../../protocol/conversation.ts';
import { ExitStatus } from '../../shared/errors.ts';
import type { Box } from '../cli/box.ts';
import { cleanUpAfterFile } from '../clean-up-after-file.ts';
import { type Bout, buildAgent, expectTameOutput, runCoffer } from './arena.ts';
import { GARBAGE } from './garbage.ts';
import { SCRIPT_FILE, type Script, type Step, saidFile } from './script.ts';
import { backUpDay, twoDays } from './two-days.ts';

const HONEST = new URL('../../dist/coffer-vm-agent', import.meta.url).pathname;
const SERVICES: readonly Service[] = ['Browse', 'Fetch', 'Store', 'Assemble', 'Delete'];
const run = promisify(execFile);
const cleanUp = cleanUpAfterFile();
const { storage, refused } = ExitStatus;

/** One message of each kind of garbage: some leave the connection open, one breaks it. */
const CHOSEN = [
  'noise in a frame',
  'a message that only dom0 sends',
  'another request',
  'Data without bytes',
  'an exit by a signal',
];
const ONE_OF_EACH = CHOSEN.map(
  (chosen) => GARBAGE.find(([what]) => what === chosen) ?? expect.fail(chosen),
);
/** How many states of each service are tried: the first, the last, and some between. */
const MOST_STATES = 6;

interface Work {
  readonly words: readonly string[];
  readonly services: readonly Service[];
  /** Whether success is right, too: a stored backup remains one even if it cannot be read back. */
  readonly maySucceed: boolean;
  readonly writes: boolean;
}

/** Commands on a series of some days. */
const WORK: readonly (readonly [string, Work])[] = [
  [
    'backup into a series',
    {
      words: ['backup', '-y', 'backups', 'work', 'vault'],
      services: ['Browse', 'Fetch', 'Store'],
      ...{ maySucceed: true, writes: true },
    },
  ],
  [
    'restore from a series',
    {
      words: ['restore', '-y', '--rename-conflicting', 'backups', 'work', 'vault'],
      services: ['Browse', 'Fetch'],
      ...{ maySucceed: false, writes: false },
    },
  ],
  [
    'prune of a series',
    {
      words: ['prune', '-y', '--keep-last', '1', 'backups'],
      services: ['Browse', 'Fetch', 'Assemble', 'Delete'],
      ...{ maySucceed: false, writes: true },
    },
  ],
];

let box: Box;
let agent: string;
beforeAll(async () => {
  ({ box } = await twoDays(cleanUp));
  backUpDay(box, '2026-01-03', 2_000_000);
  agent = await buildAgent();
});

/** A copy of the system and its series, for one run. */
class Stage implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'coffer-chain-'));

  static async make(): Promise<Stage> {
    const stage = new Stage();
    await run('cp', ['-a', '--sparse=always', `${box.directory}/.`, stage.directory]);
    return stage;
  }

  get #home(): string {
    return join(this.directory, 'homes/usb');
  }

  /** Runs coffer against agents that follow the script. */
  async play(words: readonly string[], script: Script): Promise<Bout> {
    writeFileSync(join(this.#home, SCRIPT_FILE), JSON.stringify(script));
    return await this.#coffer(words, { COFFER_VM_AGENT: agent });
  }

  /** Runs coffer against the real agent. */
  async honestly(words: readonly string[]): Promise<Bout> {
    return await this.#coffer(words, {});
  }

  /** How many messages of the honest agents of a service were passed on. */
  said(service: Service): number {
    const path = join(this.#home, saidFile(service));
    return existsSync(path) ? statSync(path).size : 0;
  }

  async #coffer([command = '', ...words]: readonly string[], environment: NodeJS.ProcessEnv) {
    const all = [command, '-d', 'usb', ...box.secret, ...words];
    return await runCoffer(this, all, { TZ: 'UTC', ...environment });
  }

  [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.directory, { recursive: true });
    return Promise.resolve();
  }
}

const relay = (upTo: number): Step => ({ relay: HONEST, upTo });

/** All agents are honest, except those of one service after `upTo` messages. */
function script(turning?: Service, upTo = 0, garbage: readonly Step[] = []): Script {
  return Object.fromEntries(
    SERVICES.map((service) =>
      service === turning ? [service, [relay(upTo), ...garbage]] : [service, [relay(1e9)]],
    ),
  );
}

/** Two at a time. */
async function all<T>(cases: readonly T[], one: (each: T) => Promise<void>): Promise<void> {
  const left = [...cases];
  const work = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) await one(next);
  };
  await Promise.all(Array.from({ length: 2 }, work));
}

/** Some numbers below `count`, the first and the last among them. */
function statesOf(count: number): number[] {
  const states = Math.min(count, MOST_STATES);
  const step = (count - 1) / Math.max(states - 1, 1);
  return Array.from({ length: states }, (_, i) => Math.round(i * step));
}

describe.each(WORK)('%s', (_, { words, services, maySucceed, writes }) => {
  it('handles a VM that turns hostile after any message, and leaves a series that can be verified', async () => {
    const cases: { readonly service: Service; readonly upTo: number }[] = [];
    {
      await using stage = await Stage.make();
      const honest = await stage.play(words, script());
      expect(honest.status, honest.stdout + honest.stderr).toBe(0);
      for (const service of SERVICES) {
        cases.push(...statesOf(stage.said(service)).map((upTo) => ({ service, upTo })));
      }
    }
    expect(new Set(cases.map(({ service }) => service))).toEqual(new Set(services));
    await all([...cases.entries()], async ([number, { service, upTo }]) => {
      const [what, steps] = ONE_OF_EACH[number % ONE_OF_EACH.length] ?? expect.fail();
      const told = `${service}, after ${upTo} messages: ${what}`;
      await using stage = await Stage.make();
      const bout = await stage.play(words, script(service, upTo, steps));
      const said = `${told}\n${bout.stdout}${bout.stderr}`;
      const allowed: unknown[] = maySucceed ? [0, storage, refused] : [storage, refused];
      expect(allowed, said).toContain(bout.status);
      expectTameOutput(bout);
      if (!writes) return;
      const left = await stage.honestly(['verify', '--all', 'backups']);
      expect(left.status, `${told}\n${left.stdout}${left.stderr}`).toBe(0);
    });
  });
});
