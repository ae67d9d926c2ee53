import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  type WholeSeries,
  openWholeSeries,
} from '../../dom0-agent/archive/coffer1/whole-series.ts';
import { openArchive } from '../../dom0-agent/archive/open-archive.ts';
import { givenUpIn } from '../../dom0-agent/backup/given-up.ts';
import { publicKeyOf } from '../../dom0-agent/archive/coffer1/forget-list.ts';
import { type PrunePlan, planPrune } from '../../dom0-agent/forget/plan-prune.ts';
import type { RetentionRules } from '../../dom0-agent/forget/retention.ts';
import { type PruneResult, runPrune } from '../../dom0-agent/forget/run-prune.ts';
import { backupQubesXml } from '../../dom0-agent/qubes/xml/backup-qubes-xml.ts';
import { parseQubesXml } from '../../dom0-agent/qubes/xml/parse-qubes-xml.ts';
import { Dom0Storage } from '../../dom0-agent/transport/dom0-storage.ts';
import type { Storage, StoredFiles } from '../../dom0-agent/transport/storage.ts';
import { SeriesMaker, type SeriesOptions } from '../archive/coffer1/make-series.ts';
import { PASSPHRASE, never } from '../archive/coffer1/sample.ts';

const recorded = path.join(import.meta.dirname, '../fixtures/qubesd/qubes-r4.xml');
const system = parseQubesXml(readFileSync(recorded, 'utf8'));

/** A time long after all backups of a SeriesMaker. */
export const NOW = new Date('2031-01-01T00:00:00Z');

function qubeCalled(name: string) {
  const found = system.qubes.find((qube) => qube.name === name);
  if (found === undefined) throw new Error(`there is no ${name}`);
  return found;
}

/** A series in a directory of its own, one backup a day. */
export class SeriesOnDisk {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'coffer-forget-'));
  readonly maker = new SeriesMaker();
  /** The content of each backup: volumes by path. */
  readonly held = new Map<string, Readonly<Record<string, Buffer>>>();
  storage: Storage = new Dom0Storage();

  /**
   * Makes the next backup, of VMs by the names of their directories. Returns its file name.
   *
   * @param paths of dom0's configuration
   * @param edit changes the list of VMs
   */
  async backUp(
    volumes: Readonly<Record<string, Buffer>>,
    options: SeriesOptions = {},
    names: Readonly<Record<string, string>> = { vm5: 'work' },
    paths: readonly string[] = [],
    edit = (qubesXml: string): string => qubesXml,
  ): Promise<string> {
    const qubes = Object.entries(names).map(([directory, name]) => ({
      ...{ qube: qubeCalled(name), directory, size: 1 },
    }));
    const created = new Date('2026-01-01T00:00:00Z');
    const dom0 = { dom0: qubeCalled('dom0'), dom0Home: undefined };
    const dom0Paths =
      paths.length === 0 ? undefined : { directory: 'dom0-home/paths', paths, size: 1 };
    const xml = backupQubesXml({ created, ...dom0, dom0Paths, qubes });
    const contents = { 'qubes.xml': Buffer.from(edit(xml)), ...volumes };
    const { bytes } = await this.maker.backup(contents, options);
    const name = `day-${this.held.size + 1}`;
    writeFileSync(path.join(this.directory, name), bytes);
    this.held.set(name, volumes);
    return name;
  }

  get files(): string[] {
    return readdirSync(this.directory).sort();
  }

  get bytes(): number {
    const sizes = this.files.map((name) => readFileSync(path.join(this.directory, name)).length);
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  read(name: string): Buffer {
    return readFileSync(path.join(this.directory, name));
  }

  write(name: string, bytes: Buffer): void {
    writeFileSync(path.join(this.directory, name), bytes);
  }

  /** The public key for the signed lists of the series, as PEM. */
  async publicKey(): Promise<string> {
    await using files = await this.storage.openFiles(this.directory, never);
    return publicKeyOf(await this.#open(files));
  }

  async plan(rules: RetentionRules): Promise<PrunePlan> {
    await using files = await this.storage.openFiles(this.directory, never);
    const series = await this.#open(files);
    return await planPrune(series, rules, NOW, await givenUpIn(files, this.files, series));
  }

  /** Plans and prunes. */
  async prune(rules: RetentionRules, now = NOW, deletes = true): Promise<PruneResult> {
    const { storage, directory, files: untrustedNames } = this;
    await using files = await storage.openFiles(directory, never);
    const series = await this.#open(files);
    const givenUp = await givenUpIn(files, this.files, series);
    const plan = await planPrune(series, rules, now, givenUp);
    const progress = { checked: () => undefined, replaced: () => Promise.resolve() };
    const place = { storage, directory, files, untrustedNames, deletes };
    return await runPrune(plan, place, now, progress, never);
  }

  /** The names of the backups that do not have exactly the content that was backed up. */
  async damaged(names: Iterable<string> = this.held.keys()): Promise<string[]> {
    const damaged: string[] = [];
    for (const name of names) {
      const isWhole = await this.#isWhole(name).catch((error: unknown) => {
        if (error instanceof Error) return false;
        throw error;
      });
      if (!isWhole) damaged.push(name);
    }
    return damaged;
  }

  async #open(files: StoredFiles): Promise<WholeSeries> {
    const { series } = await openWholeSeries(files, this.files, Buffer.from(PASSPHRASE), never);
    const [only] = series;
    if (only === undefined) throw new Error('there is no series');
    return only;
  }

  async #isWhole(name: string): Promise<boolean> {
    const storage = new Dom0Storage();
    await using files = await storage.openFiles(this.directory, never);
    const siblings = { directory: files, untrustedNames: () => Promise.resolve(this.files) };
    const input = await files.open(name);
    const reader = await openArchive(input, Buffer.from(PASSPHRASE), never, { siblings });
    await reader.qubesXml();
    const expected = new Map(Object.entries(this.held.get(name) ?? {}));
    for await (const file of reader.files(() => true)) {
      if ('innerTar' in file) throw new Error(`${file.path} is a tree`);
      const content = Buffer.alloc(file.size);
      for await (const { offset, bytes } of file.pieces()) bytes.copy(content, offset);
      const original = expected.get(file.path);
      if (original?.equals(content) === false) return false;
      expected.delete(file.path);
    }
    return expected.size === 0;
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true });
  }
}
