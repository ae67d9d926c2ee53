import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';

/** A text in the windows that has to be translated. */
export interface Message {
  readonly text: string;
  /** The plural form, if there is one. */
  readonly plural?: string;
}

const WINDOWS = 'dom0-agent/gui';

/** The messages of the windows, each once, in the order of the files. */
export function messagesOfWindows(): Message[] {
  const files = readdirSync(WINDOWS, { recursive: true, encoding: 'utf8' });
  const sources = files.filter((file) => file.endsWith('.ts')).sort();
  const found = sources.flatMap((file) => messagesIn(path.join(WINDOWS, file)));
  return [...new Map(found.map((message) => [message.text, message])).values()];
}

/**
 * The arguments of each `_('…')` and `plural('…', '…', n)` in a file. Throws if one is not a literal, which cannot be
 * translated.
 */
function messagesIn(file: string): Message[] {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.ES2022);
  const found: Message[] = [];
  const literal = (node: ts.Node | undefined): string => {
    if (node !== undefined && ts.isStringLiteralLike(node)) return node.text;
    throw new Error(`${file}: a text that is to be translated is no literal`);
  };
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && ts.isIdentifier(node.expression)) {
      const [first, second] = node.arguments;
      const name = node.expression.text;
      if (name === '_') found.push({ text: literal(first) });
      if (name === 'plural') found.push({ text: literal(first), plural: literal(second) });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}
