import { readFileSync } from 'node:fs';
import { po } from 'gettext-parser';
import type { Desktop } from '../../test/gui/desktop.ts';

/** Operates a window in any language by the English texts in its source, without the underscores of mnemonics. */
export class SpokenDesktop {
  readonly #desktop: Desktop;
  readonly #texts: ReadonlyMap<string, string>;

  /** @param language `de`; empty for English */
  constructor(desktop: Desktop, language: string) {
    this.#desktop = desktop;
    this.#texts = language === '' ? new Map() : translationsInto(language);
  }

  async press(name: string): Promise<void> {
    await this.#desktop.press(this.#said(name));
  }

  async type(label: string, text: string): Promise<void> {
    await this.#desktop.type(this.#said(label), text);
  }

  async choose(label: string, item: string): Promise<void> {
    // The names of qubes are the same in all languages.
    await this.#desktop.choose(this.#said(label), this.#texts.get(item) ?? item);
  }

  /** Waits for a text, with any values in its placeholders: `{size} is free there.` */
  async sees(text: string): Promise<void> {
    const words = this.#said(text).split(/\{\w+\}/);
    const pattern = words.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*');
    await this.#desktop.sees(new RegExp(`^${pattern}$`));
  }

  /** Waits until a button can be pressed. */
  async canPress(name: string): Promise<void> {
    const said = this.#said(name);
    await this.#desktop.find(said, (seen) => seen.name === said && seen.isEnabled);
  }

  async takePicture(file: string): Promise<void> {
    await this.#desktop.takePicture(file);
  }

  #said(english: string): string {
    if (this.#texts.size === 0) return english;
    const said = this.#texts.get(english);
    if (said === undefined) throw new Error(`there is no translation of ${english}`);
    return said;
  }
}

function translationsInto(language: string): Map<string, string> {
  const catalog = po.parse(readFileSync(`po/${language}.po`));
  const plain = (text: string): string => text.replace('_', '');
  return new Map(
    Object.values(catalog.translations[''] ?? {}).map(({ msgid, msgstr: [said = ''] }) => [
      ...([plain(msgid), plain(said)] as const),
    ]),
  );
}
