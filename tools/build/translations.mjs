// Compiles po/LANGUAGE.po to dist/locale/LANGUAGE/LC_MESSAGES/coffer.mo, which the windows read.
import { mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export async function compileTranslations(root) {
  const { mo, po } = await import('gettext-parser');
  for (const name of readdirSync(path.join(root, 'po'))) {
    if (!name.endsWith('.po')) continue;
    const catalog = po.parse(readFileSync(path.join(root, 'po', name)));
    const directory = path.join(root, 'dist/locale', path.basename(name, '.po'), 'LC_MESSAGES');
    mkdirSync(directory, { recursive: true });
    const file = path.join(directory, 'coffer.mo');
    // A window that is being started reads this file, so it is replaced atomically.
    writeFileSync(`${file}.${process.pid}`, mo.compile(catalog));
    renameSync(`${file}.${process.pid}`, file);
  }
}
