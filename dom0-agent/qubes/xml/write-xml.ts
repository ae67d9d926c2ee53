import { FailedError } from '../../../shared/errors.ts';

/** An element to be written: attributes in order, then either text or children. */
export interface NewElement {
  readonly name: string;
  readonly attributes: readonly (readonly [string, string])[];
  readonly content: string | readonly (NewElement | WrittenElement)[];
}

/** An element as written to a file, with its indentation. */
export interface WrittenElement {
  readonly text: string;
}

/** A shorthand for `NewElement`. */
export function element(
  name: string,
  attributes: readonly (readonly [string, string])[] = [],
  content: NewElement['content'] = [],
): NewElement {
  return { name, attributes, content };
}

/**
 * Writes XML as Qubes does: indented by two spaces, text unchanged. (The serialiser of xmldom does not escape a
 * bare carriage return, which a reader takes for a line feed.) Throws FailedError when there is a character that
 * XML does not allow.
 */
export function writeXml(root: NewElement): string {
  return `${writeElement(root, 0).text}\n`;
}

/** Writes an element `depth` levels below the root: for one that is written often. */
export function writeElement(written: NewElement, depth: number): WrittenElement {
  const { name, attributes, content } = written;
  const indent = '  '.repeat(depth);
  const start = name + attributes.map(([key, value]) => ` ${key}="${escape(value)}"`).join('');
  if (typeof content === 'string') {
    return { text: `${indent}<${start}>${escape(content)}</${name}>` };
  }
  if (content.length === 0) return { text: `${indent}<${start}/>` };
  const children = content.map((child) =>
    'text' in child ? child.text : writeElement(child, depth + 1).text,
  );
  return { text: [`${indent}<${start}>`, ...children, `${indent}</${name}>`].join('\n') };
}

/** See section 2.2 of XML 1.0 for the allowed characters, 2.11 and 3.3.3 for white space. */
function escape(text: string): string {
  if (/[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u.test(text)) {
    throw new FailedError(
      'a setting contains a character that XML, and so qubes.xml, does not allow',
    );
  }
  return text.replace(/[<>&"\t\n\r]/g, (character) => {
    switch (character) {
      case '<':
        return '&lt;';
      case '>':
        return '&gt;';
      case '&':
        return '&amp;';
      case '"':
        return '&quot;';
      default:
        return `&#${character.charCodeAt(0)};`;
    }
  });
}
