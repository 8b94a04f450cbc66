import { validateHeaderName, validateHeaderValue } from 'node:http';
import { MaasError } from '../../errors.js';

interface Range {
  readonly least: number;
  readonly most?: number;
  readonly whole?: boolean;
  readonly single?: boolean;
}

/** Numbers of a flag, between commas. @throws MaasError MAAS_USAGE for anything else. */
export function numbersOf(
  flag: string,
  text: string | undefined,
  { least, most = Number.MAX_SAFE_INTEGER, whole = false, single = false }: Range,
): number[] {
  if (text === undefined || text === '') return [];
  return (single ? [text] : text.split(',')).map((word) => {
    const number = word.trim() === '' ? NaN : Number(word);
    if (number >= least && number <= most && (!whole || Number.isInteger(number))) return number;
    const kind = whole ? 'a whole number' : 'a number';
    throw new MaasError('MAAS_USAGE', `--${flag} takes ${kind} from ${least} on, not "${word}"`, {
      hint: single ? `As in --${flag} 10.` : `As in --${flag} 1,8,64.`,
    });
  });
}

/** `input_ids:1,128` */
export function shapeOf(text: string): [string, number[]] {
  const at = text.lastIndexOf(':');
  if (at > 0) return [text.slice(0, at), numbersOf('shape', text.slice(at + 1), { least: 0, whole: true })];
  throw new MaasError('MAAS_USAGE', `--shape takes an input and its sizes, not "${text}"`, {
    hint: 'As in --shape input_ids:1,128.',
  });
}

/** `Authorization: Bearer …` */
export function headerOf(text: string): [string, string] {
  const at = text.indexOf(':');
  const [name, value] = [text.slice(0, Math.max(0, at)).trim(), text.slice(at + 1).trim()];
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    return [name.toLowerCase(), value];
  } catch (error) {
    throw new MaasError('MAAS_USAGE', `--header takes a name and a value, not "${text}"`, {
      hint: 'As in --header "Authorization: Bearer abc".',
      cause: error,
    });
  }
}

export function urlOf(text: string): URL {
  if (URL.canParse(text)) return new URL(text);
  throw new MaasError('MAAS_USAGE', `"${text}" is no address`, { hint: 'As in http://localhost:8080.' });
}
