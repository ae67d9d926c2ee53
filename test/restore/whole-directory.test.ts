import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import type { ArchiveReader } from '../../dom0-agent/archive/archive.ts';
import { verifyBackup } from '../../dom0-agent/verify/run-verify.ts';
import { MiB } from '../../shared/sizes.ts';
import { header } from '../archive/tar/header.ts';
import { backupOf, template } from './planning.ts';
import { Warnings } from './restoring-system.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const FILES = 100_000;

test('verifying a directory with 100,000 files takes less than 5 MiB of memory', async () => {
  let memory = 0;
  const inUse = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  async function* directory(): AsyncGenerator<Buffer> {
    const before = inUse();
    for (let i = 0; i < FILES; i += 1000) {
      const files = Array.from({ length: 1000 }, (_, j) =>
        header(`vm1/${i + j}${'x'.repeat(70)}.img`, 0),
      );
      yield await Promise.resolve(Buffer.concat(files));
    }
    memory = inUse() - before;
    yield Buffer.alloc(1024);
  }
  const reader = {
    header: { format: 'qubes-3', backupId: undefined, encrypted: true, compressionFilter: 'gzip' },
    qubesXml: () => Promise.resolve(''),
    async *files() {
      yield await Promise.resolve({ path: 'vm1/.', innerTar: directory() });
    },
  } satisfies ArchiveReader;
  const { qubes, dom0Home, unusable } = backupOf([template('debian')]);
  const selected = { qubes, dom0Home, unusable };
  const never = new AbortController().signal;
  expect(await verifyBackup(selected, reader, new Warnings(), never)).toMatchObject([
    { name: 'debian' },
  ]);
  // The names alone, of 80 characters each, would take more than 10 MiB.
  expect(memory).toBeLessThan(5 * MiB);
});
