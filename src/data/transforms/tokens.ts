/** What a text is split into. */
export type TokenKind = 'word' | 'character';

const words = String.raw`[\p{L}\p{M}\p{N}_]+`;

/** The same for JavaScript and for RE2, which the model has. */
export function tokenPattern(kind: TokenKind): string {
  return kind === 'word' ? words : '(?s).';
}

/** A text as its tokens; words in lower case. */
export function tokensOf(text: string, kind: TokenKind): string[] {
  if (kind === 'character') return Array.from(text);
  return Array.from(text.matchAll(new RegExp(words, 'gu')), ([word]) => word.toLowerCase());
}

/**
 * How a word may come out of a model that lowers the letters A to Z alone: as it is, or as it began from all capitals,
 * or from a first one.
 */
export function variantsOf(word: string): string[] {
  const [first = '', ...rest] = word;
  const forms = [word, word.toUpperCase(), first.toUpperCase() + rest.join('')];
  return [...new Set(forms.filter((form) => form.toLowerCase() === word).map(lowerLatin))];
}

function lowerLatin(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
