import { writeFile } from 'node:fs/promises';
import { encodeFrame } from '../../protocol/codec.ts';
import { PROTOCOL_VERSION } from '../../protocol/limits.ts';
import { COFFER, VM_AGENT } from './coffer.ts';
import { backupJob, otherJob, readingJob } from './jobs.ts';
import { measure } from './measure.ts';
import { otherTools } from './other-tools.ts';
import { gzipBackup, kdf, limitBackup, limitRestore, uncompressedBackup } from './pipelines.ts';
import type { NamedRow, RowMaker } from './row.ts';
import { SCALING_ROWS } from './scaling-rows.ts';
import { DAYS_ROWS } from './days-rows.ts';
import { REFLINK_ROWS } from './reflink-rows.ts';
import { SERIES_ROWS } from './series-rows.ts';
import { CHEAP_KEYS } from './world.ts';

const MB = 1e6;
const UNCOMPRESSED = ['--compress-filter', 'none'];
const SMALL_AND_BULK = { bulk1: 'bulk', bulk2: 'bulk', small: 'tiny', zbulk: 'bulk' };

/** Every row of the table, by name. */
export const ROWS: ReadonlyMap<string, RowMaker> = new Map<string, RowMaker>([
  [
    'backup, 2 GiB image with 0.5 GiB of files',
    async (world) => {
      const to = world.place('limit');
      const limit = otherJob('limit', limitBackup(await world.image('files'), to), [to]);
      return {
        jobs: [await backupJob(world, 'files', { files: 'files' }), limit],
        yardstick: { kind: 'ratio', atMost: 1.3 },
      };
    },
  ],
  [
    "the same, against restic's first backup",
    async (world) => ({
      jobs: [
        await backupJob(world, 'files', { files: 'files' }),
        ...otherTools(world, await world.image('files')),
      ],
      yardstick: { kind: 'ratio', atMost: 1 },
    }),
  ],
  [
    'backup, 10 GiB image with 0.5 GiB of files',
    async (world) => {
      const to = world.place('limit');
      const limit = otherJob('limit', limitBackup(await world.image('sparse'), to), [to]);
      return {
        jobs: [await backupJob(world, 'sparse', { sparse: 'sparse' }), limit],
        yardstick: { kind: 'ratio', atMost: 1.5 },
      };
    },
  ],
  [
    'backup without compression, incompressible 2 GiB',
    async (world) => {
      const to = world.place('limit');
      const command = uncompressedBackup(await world.image('bulk'), to);
      return {
        jobs: [
          await backupJob(world, 'bulk', { bulk: 'bulk' }, UNCOMPRESSED),
          otherJob('limit', command, [to, `${to}.hmac`]),
        ],
        yardstick: { kind: 'ratio', atMost: 1.5 },
      };
    },
  ],
  [
    'restore, 2 GiB image with 0.5 GiB of files',
    async (world) => {
      const backup = await world.backup('files', { files: 'files' }, []);
      const from = world.place('limit-to-restore');
      await measure(limitBackup(await world.image('files'), from));
      const to = world.place('limit-restored');
      return {
        jobs: [
          readingJob(world, backup, 'restore'),
          otherJob('limit', limitRestore(from, to), [to]),
        ],
        yardstick: { kind: 'ratio', atMost: 1.3 },
      };
    },
  ],
  [
    'verify, against restore',
    async (world) => {
      const backup = await world.backup('files', { files: 'files' }, []);
      return {
        jobs: [readingJob(world, backup, 'verify'), readingJob(world, backup, 'restore')],
        yardstick: { kind: 'ratio', atMost: 1 },
      };
    },
  ],
  [
    'restore of a small VM out of 6 GiB, beyond key derivation',
    async (world) => {
      const backup = await world.backup('small-and-bulk', SMALL_AND_BULK, UNCOMPRESSED);
      return {
        jobs: [readingJob(world, backup, 'restore', ['small']), otherJob('kdf', kdf)],
        yardstick: { kind: 'beyond', atMost: 1 },
      };
    },
  ],
  [
    'list of 6 GiB, beyond key derivation',
    async (world) => {
      const backup = await world.backup('small-and-bulk', SMALL_AND_BULK, UNCOMPRESSED);
      return {
        jobs: [readingJob(world, backup, 'list'), otherJob('kdf', kdf)],
        yardstick: { kind: 'beyond', atMost: 0.3 },
      };
    },
  ],
  [
    'backup in the format qubes-4',
    async (world) => {
      const to = world.place('limit');
      const gzip = otherJob('gzip', gzipBackup(await world.image('files'), to), [to]);
      const options = ['--format', 'qubes-4'];
      return {
        jobs: [await backupJob(world, 'files', { files: 'files' }, options), gzip],
        yardstick: { kind: 'ratio', atMost: 0.6 },
      };
    },
  ],
  [
    'coffer --help',
    () =>
      Promise.resolve({
        jobs: [otherJob('coffer', { argv: [COFFER, '--help'] })],
        yardstick: { kind: 'time', atMost: 0.15 },
      }),
  ],
  [
    'coffer-vm-agent until it answers',
    async (world) => {
      const request = world.place('request');
      const directory = world.directory;
      const message = { kind: 'browseRequest', version: PROTOCOL_VERSION, directory } as const;
      await writeFile(request, Buffer.concat(encodeFrame(message)));
      const script = `exec "${process.execPath}" "${VM_AGENT}" Browse < "${request}"`;
      return {
        jobs: [otherJob('agent', { argv: ['dash', '-c', script], untilOutput: true })],
        yardstick: { kind: 'time', atMost: 0.12 },
      };
    },
  ],
  ...(['zstd', 'none'] as const).map((filter): NamedRow => [
    `memory in a backup, ${filter}`,
    async (world) => {
      const options = [...CHEAP_KEYS, '--compress-filter', filter];
      const image = filter === 'zstd' ? 'files' : 'bulk';
      return {
        jobs: [await backupJob(world, image, { [image]: image }, options)],
        yardstick: { kind: 'memory', coffer: 200 * MB, agent: 100 * MB },
      };
    },
  ]),
  ...(['restore', 'verify'] as const).map((command): NamedRow => [
    `memory in a ${command}`,
    async (world) => {
      const backup = await world.backup('cheap', { files: 'files' }, CHEAP_KEYS);
      return {
        jobs: [readingJob(world, backup, command)],
        yardstick: { kind: 'memory', coffer: 200 * MB, agent: 100 * MB },
      };
    },
  ]),
  ...SERIES_ROWS,
  ...REFLINK_ROWS,
  ...DAYS_ROWS,
  ...SCALING_ROWS,
]);
