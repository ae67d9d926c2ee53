import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { storeRecoveryKit } from '../../dom0-agent/backup/recovery-kit.ts';
import { Dom0Storage } from '../../dom0-agent/transport/dom0-storage.ts';
import { RefusedError } from '../../shared/errors.ts';
import { sha256 } from '../archive/official-archives.ts';

const NAME = 'qubes-backup-2026-11-23T194201';
const ofRepository = (file: string): Buffer =>
  readFileSync(new URL(`../../${file}`, import.meta.url));
const { signal } = new AbortController();

describe('the recovery kit', () => {
  let directory = '';
  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'coffer-kit-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  it('consists of recover.sh and the page, under the name of the backup', async () => {
    const stored = await storeRecoveryKit(new Dom0Storage(), directory, NAME, signal);
    const script = readFileSync(path.join(directory, `${NAME}.recover.sh`));
    const page = readFileSync(path.join(directory, `${NAME}.recovery.md`));
    expect(script.equals(ofRepository('recover.sh'))).toBe(true);
    expect(page.equals(ofRepository('docs/recovery.md'))).toBe(true);
    expect(stored.map((one) => one.sha256)).toEqual([sha256(script), sha256(page)]);
  });

  it('is not stored if one of the files exists', async () => {
    writeFileSync(path.join(directory, `${NAME}.recover.sh`), 'something else');
    const storing = storeRecoveryKit(new Dom0Storage(), directory, NAME, signal);
    await expect(storing).rejects.toBeInstanceOf(RefusedError);
    expect(readdirSync(directory)).toEqual([`${NAME}.recover.sh`]);
  });
});
