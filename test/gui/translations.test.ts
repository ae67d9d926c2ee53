import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { po } from 'gettext-parser';
import { describe, expect, it, onTestFinished } from 'vitest';
import { messagesOfWindows } from '../../tools/translations/messages.ts';
import { Box, PASSPHRASE } from '../cli/box.ts';
import { Desktop } from './desktop.ts';

const placeholdersIn = (text: string): string[] => (text.match(/\{\w+\}/g) ?? []).sort();
/** The singular may leave out the count. */
const withoutCount = (text: string): string[] =>
  placeholdersIn(text).filter((each) => each !== '{n}');

describe.each(readdirSync('po'))('the translation %s', (file) => {
  const translations = po.parse(readFileSync(path.join('po', file))).translations[''] ?? {};

  it('has every message of the windows, and no others', () => {
    const expected = messagesOfWindows().map(({ text }) => text);
    const present = Object.keys(translations).filter((text) => text !== '');
    expect(present.sort()).toEqual(expected.sort());
    for (const { text, plural } of messagesOfWindows()) {
      const { msgstr = [], comments } = translations[text] ?? {};
      expect(msgstr, text).toHaveLength(plural === undefined ? 1 : 2);
      expect(msgstr, text).not.toContain('');
      expect(comments?.flag ?? '', text).not.toMatch(/fuzzy/);
    }
  });

  it('has the placeholders and mnemonics of every message', () => {
    for (const { text, plural = text } of messagesOfWindows()) {
      const { msgstr = [] } = translations[text] ?? {};
      expect(withoutCount(msgstr[0] ?? ''), text).toEqual(withoutCount(text));
      expect(placeholdersIn(msgstr.at(-1) ?? ''), text).toEqual(placeholdersIn(plural));
      expect((msgstr[0] ?? '').includes('_'), text).toBe(text.includes('_'));
    }
  });
});

describe('a user whose language is German', () => {
  it('sees the windows in German', async () => {
    const box = await Box.full(onTestFinished);
    await using desktop = await Desktop.open('backup', box.directory, { language: 'de' });
    await desktop.sees('Ihre Sicherungen');
    await desktop.sees(/4 Qubes sind in keiner Sicherung/);
    await desktop.press('Auswählen…');
    await desktop.sees('Welche Qubes sollen gesichert werden?');
    await desktop.press('Weiter');
    await desktop.type('Verzeichnis oder Befehl', box.backups);
    await desktop.choose('Ziel-Qube', 'usb');
    await desktop.type('Passphrase', PASSPHRASE);
    await desktop.type('Passphrase noch einmal', PASSPHRASE);
    await desktop.press('Weiter');
    await desktop.press('Sichern');
    await desktop.sees('Dieses Fenster verbergen');
    await desktop.sees('Die Sicherung ist vollständig');
    await desktop.press('Alte Sicherungen löschen…');
    await desktop.sees('1 Sicherung: Sie bleibt.');
  }, 120_000);
});
