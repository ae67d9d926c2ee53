/** The parts of gettext-parser that are used here; it has no types: https://github.com/smhg/gettext-parser */
declare module 'gettext-parser' {
  export interface Translation {
    msgid: string;
    msgid_plural?: string;
    /** One text, or one for each plural form. */
    msgstr: string[];
    comments?: { flag?: string; reference?: string };
  }
  export interface Catalog {
    charset: string;
    headers: Record<string, string>;
    /** By context, and then by msgid. There are no contexts here: ''. */
    translations: Record<string, Record<string, Translation>>;
  }
  export const po: {
    parse(text: Buffer): Catalog;
    compile(catalog: Catalog, options?: { sort?: boolean; foldLength?: number }): Buffer;
  };
  export const mo: { compile(catalog: Catalog): Buffer };
}
