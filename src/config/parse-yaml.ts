import { parseDocument, type Document, type YAMLError } from 'yaml';
import { joinErrors } from './join-errors.js';
import type { SourceText } from './source-text.js';

/** What is wrong, in the words of somebody who writes YAML; the parser's own words for everything else. */
const messages: Readonly<Partial<Record<YAMLError['code'], string>>> = {
  TAB_AS_INDENT: 'a tab is used for indentation',
  MULTIPLE_DOCS: 'the file holds more than one YAML document',
  NON_STRING_KEY: 'a key must be plain text',
};

const hints: Readonly<Partial<Record<YAMLError['code'], string>>> = {
  TAB_AS_INDENT: 'YAML is indented with spaces only.',
  MULTIPLE_DOCS: 'Remove the line `---` and what follows it.',
  TAG_RESOLVE_FAILED: 'Remove the tag: only plain YAML values are used here.',
  DUPLICATE_KEY: 'Keep one of them.',
};

/** Faults that say nothing about the rest of the file; every other one makes the parser stumble on. */
const selfContained: readonly YAMLError['code'][] = ['DUPLICATE_KEY', 'TAG_RESOLVE_FAILED', 'MULTIPLE_DOCS'];

/**
 * Parses YAML 1.2 with anchors and merge keys, and keeps the range of every node.
 * @param shift Offset of `text` in the source.
 * @throws MaasError MAAS_CONFIG_SYNTAX with the first fault, and those that do not follow from it.
 */
export function parseYaml(source: SourceText, text = source.text, shift = 0): Document.Parsed {
  const document = parseDocument(text, {
    schema: 'core',
    merge: true,
    stringKeys: true,
    prettyErrors: false,
  });
  const faults = [...document.errors, ...document.warnings];
  if (faults.length === 0) return document;
  const stumble = faults.find(({ code }) => !selfContained.includes(code));
  throw joinErrors(
    faults
      .filter((fault) => fault === stumble || selfContained.includes(fault.code))
      .map((fault) => {
        const { message, hint, start, end } = explain(fault, text);
        return { code: 'MAAS_CONFIG_SYNTAX', message, hint, place: source.place(start + shift, end + shift) };
      }),
  );
}

interface Explanation {
  readonly message: string;
  readonly hint?: string;
  readonly start: number;
  readonly end: number;
}

function explain({ code, pos: [start, end], message }: YAMLError, text: string): Explanation {
  if (code === 'DUPLICATE_KEY') {
    const key = /^(?:"[^"]*"|'[^']*'|[^\s:,}]+)/.exec(text.slice(start))?.[0] ?? '';
    return { message: `the key ${key} is there twice`, hint: hints[code], start, end: start + key.length };
  }
  // In {…} and […] the brace of ${NAME} starts a mapping, which the parser takes ill.
  const reference = /\$\{[^}\s]*\}?$/.exec(text.slice(0, text.indexOf('}', start) + 1));
  if (reference?.index === start - 1) {
    return {
      message: `${reference[0]} stands inside {…} or […] without quotes`,
      hint: 'Put the key on a line of its own, or quote the variable if it is text.',
      start: reference.index,
      end: reference.index + reference[0].length,
    };
  }
  const words = messages[code] ?? `${message.charAt(0).toLowerCase()}${message.slice(1)}`;
  return { message: words, hint: hints[code], start, end };
}
