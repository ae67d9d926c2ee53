// npm run translations: adds new messages of the windows to po/*.po, for somebody to translate, and removes those that
// no longer exist.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { type Translation, po } from 'gettext-parser';
import { messagesOfWindows } from './messages.ts';

const messages = messagesOfWindows();
for (const name of readdirSync('po').filter((file) => file.endsWith('.po'))) {
  const file = `po/${name}`;
  const catalog = po.parse(readFileSync(file));
  const known = catalog.translations[''] ?? {};
  const entries = messages.map(({ text, plural }): Translation => {
    const isPlural = plural === undefined ? {} : { msgid_plural: plural };
    return { msgid: text, ...isPlural, msgstr: known[text]?.msgstr ?? [''] };
  });
  const all = [known[''], ...entries].filter((entry) => entry !== undefined);
  catalog.translations = { '': Object.fromEntries(all.map((entry) => [entry.msgid, entry])) };
  writeFileSync(file, `${po.compile(catalog).toString().trimEnd()}\n`);
  const missing = entries.filter(({ msgstr }) => msgstr.includes(''));
  console.log(`${file}: ${entries.length} messages, ${missing.length} to be translated`);
}
