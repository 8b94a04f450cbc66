import { parseDocument, type Document, type YAMLError } from 'yaml';
import { MaasError } from '../errors.js';
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

/**
 * Parses YAML 1.2 with anchors and merge keys, and keeps the range of every node.
 * @param shift Offset of `text` in the source.
 * @throws MaasError MAAS_CONFIG_SYNTAX with all errors the parser found.
 */
export function parseYaml(source: SourceText, text = source.text, shift = 0): Document.Parsed {
  const document = parseDocument(text, {
    schema: 'core',
    merge: true,
    stringKeys: true,
    prettyErrors: false,
    logLevel: 'silent',
  });
  const errors = [...document.errors, ...document.warnings].map((error) => {
    const [start, end] = error.pos;
    return new MaasError('MAAS_CONFIG_SYNTAX', describe(error, text), {
      place: source.place(start + shift, end + shift),
      hint: hintFor(error, text),
    });
  });
  const [first, ...others] = errors;
  if (first) {
    throw new MaasError(first.code, first.message, { place: first.place, hint: first.hint, others });
  }
  return document;
}

function describe({ code, pos, message }: YAMLError, text: string): string {
  if (code === 'DUPLICATE_KEY') {
    const key = /^[^\s:]+/.exec(text.slice(pos[0]))?.[0];
    return `the key ${key === undefined ? '' : `"${key}" `}is there twice`;
  }
  return messages[code] ?? `${message.charAt(0).toLowerCase()}${message.slice(1)}`;
}

function hintFor({ code, pos }: YAMLError, text: string): string | undefined {
  // In {…} and […] the brace of ${NAME} starts a mapping.
  const line = text.slice(text.lastIndexOf('\n', pos[0] - 1) + 1, text.indexOf('\n', pos[0]) >>> 0);
  if (/[{[,].*\$\{/.test(line)) {
    return 'Inside {…} and […] quote "${NAME}", or put the key on a line of its own.';
  }
  return hints[code];
}
