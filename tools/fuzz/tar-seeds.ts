import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The size of a volume of `volumes`, in bytes. */
export const VOLUME = 3 * 1024;

const FORMATS = [
  ['--format=gnu'],
  ['--format=posix'],
  ['--format=ustar'],
  ['--format=posix', '--sparse-version=0.0'],
  ['--format=posix', '--sparse-version=0.1'],
] as const;

/** Tars made by GNU tar: in each format, with all encodings of sparse files, and with several volumes. */
export interface TarSeeds {
  readonly tars: readonly Buffer[];
  /** Tars with only a regular file, like an outer tar. */
  readonly plain: readonly Buffer[];
  /** A tar of several volumes, one after the other. */
  readonly volumes: Buffer;
}

export function makeTarSeeds(): TarSeeds {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-fuzz-'));
  try {
    writeFileSync(join(directory, 'plain'), 'p'.repeat(700));
    writeFileSync(join(directory, 'n'.repeat(130)), 'long');
    symlinkSync('plain', join(directory, 'link'));
    makeSparse(join(directory, 'sparse'));
    const all = ['plain', 'n'.repeat(130), 'link', 'sparse'];
    const tar = (args: readonly string[]): Buffer =>
      execFileSync('tar', ['-b1', ...args], {
        cwd: directory,
        stdio: ['ignore', 'pipe', 'ignore'],
      });
    const tars = FORMATS.flatMap((format) => {
      const isUstar = format[0] === '--format=ustar';
      const names = isUstar ? ['plain', 'link'] : all;
      const sparse = isUstar ? [] : ['--sparse', '--hole-detection=raw'];
      return [
        tar([...format, ...sparse, '-cf-', ...names]),
        tar([...format, ...sparse, '-cf-', names.at(-1) ?? '']),
      ];
    });
    const plain = ['gnu', 'posix'].map((format) => tar([`--format=${format}`, '-cf-', 'plain']));
    return { tars, plain, volumes: volumesOf(directory, tar) };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Makes a sparse file with more pieces than fit into a header, so that its map continues in further blocks. */
function makeSparse(path: string): void {
  writeFileSync(path, '');
  for (let piece = 0; piece < 30; piece++) {
    truncateSync(path, piece * 8192);
    writeFileSync(path, 'data', { flag: 'a' });
  }
  truncateSync(path, 400_000);
}

function volumesOf(directory: string, tar: (args: readonly string[]) => Buffer): Buffer {
  const script = join(directory, 'next');
  writeFileSync(script, '#!/bin/sh\necho "volume.$TAR_VOLUME" >&$TAR_FD\n');
  chmodSync(script, 0o755);
  const kibibytes = `${VOLUME / 1024}`;
  const names = ['plain', 'n'.repeat(130), 'sparse'];
  tar(['-c', '-S', '-f', 'volume.1', '-M', '-L', kibibytes, '-F', script, ...names]);
  const count = readdirSync(directory).filter((name) => name.startsWith('volume.')).length;
  const volumes = Array.from({ length: count }, (_, i) =>
    readFileSync(join(directory, `volume.${i + 1}`)),
  );
  return Buffer.concat(volumes);
}

/** Corrects the checksums of all headers of a tar. */
export function repairTar(input: Buffer): Buffer {
  const repaired = Buffer.from(input);
  for (let at = 0; at + 512 <= repaired.length; at += 512) {
    const block = repaired.subarray(at, at + 512);
    if (block.toString('latin1', 257, 262) !== 'ustar') continue;
    block.fill(' ', 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  }
  return repaired;
}
