import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { newFileIn } from '../../storage/new-file.ts';
import { openDirectory } from '../../storage/open-directory.ts';

const scratch = mkdtempSync(path.join(tmpdir(), 'coffer-new-file-'));
afterAll(() => rmSync(scratch, { recursive: true }));

it('a new file is not left behind if the space in its directory cannot be found out', async () => {
  const directory = openDirectory(scratch, { directory: '.' });
  directory.space = () => Promise.reject(new Error('the test knows no space'));
  await expect(newFileIn(directory, 'backup', undefined)).rejects.toThrow('knows no space');
  expect(readdirSync(scratch)).toEqual([]);
});
