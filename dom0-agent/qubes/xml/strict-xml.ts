import { DOMParser, Element, Text, onWarningStopParsing } from '@xmldom/xmldom';

import { DamagedError } from '../../../shared/errors.ts';
import { KiB, MiB } from '../../../shared/sizes.ts';

/** The longest XML that is parsed, in bytes of UTF-8: enough for more than ten thousand VMs. */
const LONGEST_XML = 16 * MiB;
/**
 * A parsed document takes about 300 bytes for each text, comment or attribute, and three times as much for an
 * element: 300 MiB for this many units. A VM of a real system has about 350 of them.
 */
const MOST_UNITS = 1_000_000;
const UNITS_OF_ELEMENT = 3;
/** Qubes' files have six levels. */
const DEEPEST = 16;
/** In characters, including attributes: R3 stores everything about a VM in one tag's attributes. */
const LONGEST_TAG = 64 * KiB;

/** The accepted subset of XML: tags with quoted attributes. No namespaces, DTD, CDATA, instructions. */
const TAG =
  /^<(\/?)[A-Za-z][\w.-]*(?:\s+(?!xmlns)[A-Za-z][\w.-]*\s*=\s*(?:"[^"<]*"|'[^'<]*'))*\s*(\/?)>/;
const DECLARATION = /^<\?xml [^<>?]*\?>\s*/;
const REFERENCE = /&(?:(?:lt|gt|amp|quot|apos)|#(\d{1,7})|#x([\da-fA-F]{1,6}));|&/g;
/** Characters that XML 1.0 (section 2.2) does not allow, literally or as a reference. */
const NOT_XML = /[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u;

/**
 * Parses XML of the kind that Qubes writes, and refuses everything else: a document type or entity, a namespace,
 * a processing instruction, anything malformed, too long, too deep or too numerous. What is accepted is safe for
 * a parser whose time and memory grow with such things.
 *
 * @param what for the message of the DamagedError: `qubes.xml`
 */
export function parseStrictXml(untrustedText: string, what: string): Element {
  const untrustedBody = untrustedText.replace(DECLARATION, '');
  const flaw = flawOf(untrustedBody);
  if (flaw !== undefined) throw new DamagedError(`${what} ${flaw}`);
  try {
    const parser = new DOMParser({ onError: onWarningStopParsing, locator: false });
    const root = parser.parseFromString(untrustedBody, 'text/xml').documentElement;
    if (root !== null) return root;
  } catch {
    // The parser's message quotes the document: useless to the user, and hostile.
  }
  throw new DamagedError(`${what} is not well-formed XML`);
}

/** The child elements with this name, in order. */
export function childrenOf(parent: Element, name: string): Element[] {
  const children: Element[] = [];
  for (let node = parent.firstChild; node !== null; node = node.nextSibling) {
    if (node instanceof Element && node.tagName === name) children.push(node);
  }
  return children;
}

/** The text of an element that contains nothing but text. Throws DamagedError if there is more. */
export function elementText(element: Element, what: string): string {
  let text = '';
  for (let node = element.firstChild; node !== null; node = node.nextSibling) {
    if (!(node instanceof Text)) {
      throw new DamagedError(`${what} has more than text in a <${element.tagName}>`);
    }
    text += node.data;
  }
  return text;
}

/** A required attribute. Throws DamagedError when it is missing. */
export function attributeOf(element: Element, name: string, what: string): string {
  const value = element.getAttribute(name);
  if (value === null) {
    throw new DamagedError(`${what} has a <${element.tagName}> without the attribute "${name}"`);
  }
  return value;
}

/** What is wrong with a document before it is parsed, as the end of a sentence. */
function flawOf(untrustedText: string): string | undefined {
  if (Buffer.byteLength(untrustedText) > LONGEST_XML) return 'is longer than 16 MiB';
  if (NOT_XML.test(untrustedText)) return 'contains characters that XML forbids';
  for (const [reference, decimal, hexadecimal] of untrustedText.matchAll(REFERENCE)) {
    if (!isAllowed(reference, decimal, hexadecimal)) return 'refers to something that is not in it';
  }
  return flawOfTags(untrustedText);
}

function isAllowed(reference: string, decimal?: string, hexadecimal?: string): boolean {
  if (reference === '&') return false;
  if (decimal === undefined && hexadecimal === undefined) return true;
  const code = hexadecimal === undefined ? Number(decimal) : parseInt(hexadecimal, 16);
  return code <= 0x10ffff && !NOT_XML.test(String.fromCodePoint(code));
}

function flawOfTags(untrustedText: string): string | undefined {
  let depth = 0;
  let units = 0;
  let end = 0;
  for (let at = untrustedText.indexOf('<'); at >= 0; at = untrustedText.indexOf('<', end)) {
    units += at > end ? 1 : 0; // the text before it
    if (units > MOST_UNITS)
      return `is too large: it has more than ${MOST_UNITS} elements and texts`;
    if (untrustedText.startsWith('<!--', at)) {
      units++;
      end = untrustedText.indexOf('-->', at + '<!--'.length) + '-->'.length;
      if (end < '-->'.length) return 'is not well-formed XML';
      continue;
    }
    if (untrustedText.startsWith('<!', at)) return 'has a document type, an entity or raw text';
    const [tag, closing, empty] = TAG.exec(untrustedText.slice(at, at + LONGEST_TAG)) ?? [];
    if (tag === undefined) return 'is not well-formed XML of the kind that Qubes writes';
    if (closing === '/') depth--;
    else if (empty !== '/') depth++;
    if (depth > DEEPEST) return `is nested deeper than ${DEEPEST} elements`;
    if (closing !== '/') units += UNITS_OF_ELEMENT + (tag.match(/=\s*["']/g)?.length ?? 0);
    end = at + tag.length;
  }
  return undefined;
}
