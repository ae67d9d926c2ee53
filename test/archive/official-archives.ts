import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { removeTree } from '../remove-tree.ts';
import type { ByteSource } from '../../shared/byte-streams.ts';
import { contentOf } from './content-of.ts';
import type { ArchiveReader } from '../../dom0-agent/archive/archive.ts';
import { parseHeaderText } from '../../dom0-agent/archive/untrusted-header.ts';
import { type TarMember, untar } from '../../dom0-agent/archive/tar/inner-reader.ts';
import { OuterTarReader } from '../../dom0-agent/archive/tar/outer-reader.ts';
import { openHeaderless, openQubes3 } from '../../dom0-agent/archive/qubes3/qubes3-reader.ts';
import { openQubes4 } from '../../dom0-agent/archive/qubes4/qubes4-reader.ts';

/** Real backups made with the official tools; expected.json in the same directory describes them. */
const FIXTURES = fileURLToPath(new URL('../fixtures/official/', import.meta.url));

interface Expected {
  passphrase: string;
  backups: Record<string, Record<string, Record<string, string>>>;
}

export function fixture(name: string): Buffer {
  return readFileSync(join(FIXTURES, name));
}

/** The passphrase of the fixtures, and by backup, VM and volume file the SHA-256 of the content. */
export function expectedOfFixtures(): Expected {
  return JSON.parse(readFileSync(join(FIXTURES, 'expected.json'), 'utf8')) as Expected;
}

/** An input of bytes. As a stream, it can be read once only, in chunks like those of a pipe. */
export function inputOf(bytes: Buffer, seekable: boolean): ByteSource {
  let readings = 0;
  return {
    size: seekable ? bytes.length : undefined,
    seekable,
    async *read(from = 0, to = bytes.length) {
      if (!seekable && (readings++ > 0 || from !== 0)) throw new Error('a stream is read once');
      const chunk = seekable ? 1024 * 1024 : 65_536;
      await setImmediate();
      for (let at = from; at < to; at += chunk) yield bytes.subarray(at, Math.min(at + chunk, to));
    },
  };
}

/** Opens an archive of format 4, 3 or 2. */
export async function open(
  input: ByteSource,
  passphrase: string,
  signal = new AbortController().signal,
): Promise<ArchiveReader> {
  const secret = Buffer.from(passphrase);
  const tar = new OuterTarReader(input);
  const first = await tar.next();
  if (first === undefined) throw new Error('the archive is empty');
  if (first.name === 'qubes.xml.000') return openHeaderless(tar, first, secret, signal);
  const untrustedBytes = await first.bytes(4096);
  const mac = await tar.next();
  if (mac === undefined) throw new Error('the archive has no MAC for its header');
  const untrustedFields = parseHeaderText(untrustedBytes);
  const untrustedMac = await mac.bytes(4096);
  const header = { tar, untrustedBytes, untrustedFields, untrustedMac };
  return untrustedFields.get('version') === '4'
    ? openQubes4(header, secret, signal)
    : openQubes3(header, secret, signal);
}

/** The content of an archive: qubes.xml, and the SHA-256 of each member of an inner tar, holes as zeros. */
export interface Contents {
  readonly qubesXml: string;
  readonly files: Map<string, string>;
  /** The files of the archive; for a directory, the files in it. */
  readonly paths: Set<string>;
}

/** Reads the whole content of an archive. */
export async function readAll(
  bytes: Buffer,
  passphrase: string,
  seekable = true,
): Promise<Contents> {
  const reader = await open(inputOf(bytes, seekable), passphrase);
  const qubesXml = await reader.qubesXml();
  const files = new Map<string, string>();
  const paths = new Set<string>();
  for await (const file of reader.files(() => true)) {
    const { path } = file;
    if (!path.endsWith('/.')) paths.add(path);
    for await (const member of untar(contentOf(file))) {
      if (member.type !== 'file') continue;
      if (path.endsWith('/.')) paths.add(member.path);
      const isTree = path.startsWith('dom0-home/') || path.endsWith('/.');
      if (!isTree && member.path !== path) throw new Error(`${path} holds ${member.path}`);
      files.set(member.path, await sha256Of(member));
    }
  }
  return { qubesXml, files, paths };
}

async function sha256Of(member: TarMember): Promise<string> {
  const hash = createHash('sha256');
  const zeros = Buffer.alloc(1024 * 1024);
  let position = 0;
  const fillTo = (offset: number): void => {
    while (position < offset) {
      const length = Math.min(zeros.length, offset - position);
      hash.update(zeros.subarray(0, length));
      position += length;
    }
  };
  for await (const { offset, bytes } of member.pieces()) {
    fillTo(offset);
    hash.update(bytes);
    position += bytes.length;
  }
  fillTo(member.realSize);
  return hash.digest('hex');
}

export function sha256(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A member of an outer tar: its name, its content, and its blocks, header included. */
export interface OuterMemberBlocks {
  readonly name: string;
  readonly content: Buffer;
  readonly blocks: Buffer;
}

/** Splits an outer tar into its members. */
export function membersOf(archive: Buffer): OuterMemberBlocks[] {
  const members: OuterMemberBlocks[] = [];
  for (let at = 0, from = 0; at + 512 <= archive.length;) {
    const header = archive.subarray(at, at + 512);
    if (header.every((byte) => byte === 0)) {
      from = at += 512;
      continue;
    }
    const size = parseInt(header.toString('latin1', 124, 135), 8);
    const end = at + 512 + Math.ceil(size / 512) * 512;
    if (header[156] !== 'x'.charCodeAt(0)) {
      const name = header.toString('latin1', 0, header.indexOf(0));
      const content = archive.subarray(at + 512, at + 512 + size);
      members.push({ name, content, blocks: archive.subarray(from, end) });
      from = end;
    }
    at = end;
  }
  return members;
}

/** Assembles members into an outer tar. */
export function archiveOf(members: readonly OuterMemberBlocks[]): Buffer {
  return Buffer.concat([...members.map(({ blocks }) => blocks), Buffer.alloc(1024)]);
}

/** The end of a tar of so many bytes: two blocks of zeros or more, up to a whole record. */
function endOfTar(length: number): Buffer {
  const record = 20 * 512;
  return Buffer.alloc(Math.ceil((length + 2 * 512) / record) * record - length);
}

/** A temporary directory, removed when it is disposed of. */
export class WorkDirectory {
  readonly path = mkdtempSync(join(tmpdir(), 'coffer-test-'));

  write(name: string, content: Buffer | string): string {
    const path = join(this.path, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    return path;
  }

  /** Reads a file, and removes it. */
  take(name: string): Buffer {
    const path = join(this.path, name);
    const content = readFileSync(path);
    rmSync(path);
    return content;
  }

  has(name: string): boolean {
    return existsSync(join(this.path, name));
  }

  run(program: string, args: readonly string[], input?: Buffer): Buffer {
    return execFileSync(program, args, {
      cwd: this.path,
      ...(input === undefined ? {} : { input }),
      maxBuffer: 2 ** 30,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
  }

  /** A file as the official writer adds it to an archive: a tar of its own, with an end like every tar. */
  member(name: string, content: Buffer | string): Buffer {
    return this.members([[name, content]]);
  }

  /** Several such files, made by one tar(1) and then split. */
  members(files: readonly (readonly [name: string, content: Buffer | string])[]): Buffer {
    for (const [name, content] of files) this.write(name, content);
    const tar = this.run('tar', ['--format=posix', '-cO', ...files.map(([name]) => name)]);
    return Buffer.concat(membersOf(tar).flatMap(({ blocks }) => [blocks, endOfTar(blocks.length)]));
  }

  [Symbol.dispose](): void {
    removeTree(this.path);
  }
}

/** `bytes`, cut into pieces of `size` bytes. */
export function cut(bytes: Buffer, size: number): Buffer[] {
  const count = Math.max(1, Math.ceil(bytes.length / size));
  return Array.from({ length: count }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
}

/** The name of a part. */
export function numbered(path: string, index: number): string {
  return `${path}.${String(index).padStart(3, '0')}`;
}

/** Incompressible bytes, the same every time. */
export function noise(length: number, seed = 'noise'): Buffer {
  const blocks: Buffer[] = [];
  for (let i = 0; i * 64 < length; i++) {
    blocks.push(createHash('sha512').update(`${seed} ${i}`).digest());
  }
  return Buffer.concat(blocks).subarray(0, length);
}
