/** Deeper nesting than any tensor has is an attack on the stack. */
const maxDepth = 256;

const number = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
/** Digits enough to pass 2⁵³, and not behind a decimal point. */
const longInteger = /(?:^|[^.\d])\d{16}/;
const blanks = /[ \t\n\r]*/y;
const literals = new Map<string, unknown>([
  ['true', true],
  ['false', false],
  ['null', null],
]);

/** Text that is not JSON (RFC 8259). `line` and `column` count from 1. */
export class JsonSyntaxError extends Error {
  override readonly name = 'JsonSyntaxError';
  readonly line: number;
  readonly column: number;

  constructor(message: string, text: string, offset: number) {
    const before = text.slice(0, offset);
    const line = before.split('\n').length;
    const column = offset - before.lastIndexOf('\n');
    super(`${message} at line ${line}, column ${column}`);
    this.line = line;
    this.column = column;
  }
}

/**
 * `JSON.parse`, with a position in its errors. With `bigints`, integers that a double cannot hold come back as bigint:
 * `JSON.parse` would round them, and gives no access to their text before Node 22.
 * @throws JsonSyntaxError
 */
export function parseJson(text: string, options: { readonly bigints?: boolean } = {}): unknown {
  if (options.bigints === true && longInteger.test(text)) return new Parser(text).parse();
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // The engine's message has no position for most mistakes: parse again for a better one.
    return new Parser(text).parse();
  }
}

class Parser {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): unknown {
    const value = this.#value();
    this.#skipBlanks();
    if (this.#at < this.#text.length) this.#fail('expected the end of the text');
    return value;
  }

  #value(): unknown {
    this.#skipBlanks();
    const first = this.#text[this.#at];
    if (first === '{') return this.#nested(() => this.#object());
    if (first === '[') return this.#nested(() => this.#array());
    if (first === '"') return this.#string();
    for (const [literal, value] of literals) {
      if (this.#text.startsWith(literal, this.#at)) {
        this.#at += literal.length;
        return value;
      }
    }
    return this.#number();
  }

  #nested<T>(read: () => T): T {
    if (++this.#depth > maxDepth) this.#fail(`nested deeper than ${maxDepth}`);
    this.#at++;
    const value = read();
    this.#depth--;
    return value;
  }

  #object(): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    if (this.#take('}')) return object;
    do {
      this.#skipBlanks();
      if (this.#text[this.#at] !== '"') this.#fail('expected a key in double quotes');
      const key = this.#string();
      if (!this.#take(':')) this.#fail('expected ":"');
      // Plain assignment to __proto__ would set the prototype; JSON.parse makes a property.
      const value = this.#value();
      Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
    } while (this.#take(','));
    if (!this.#take('}')) this.#fail('expected "," or "}"');
    return object;
  }

  #array(): unknown[] {
    const array: unknown[] = [];
    if (this.#take(']')) return array;
    do {
      array.push(this.#value());
    } while (this.#take(','));
    if (!this.#take(']')) this.#fail('expected "," or "]"');
    return array;
  }

  #string(): string {
    const start = this.#at;
    let end = start + 1;
    while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === '\\' ? 2 : 1;
    if (end >= this.#text.length) this.#fail('a string without an end');
    try {
      const value = JSON.parse(this.#text.slice(start, end + 1)) as string;
      this.#at = end + 1;
      return value;
    } catch {
      return this.#fail('a string with a bad escape or control character');
    }
  }

  #number(): number | bigint {
    number.lastIndex = this.#at;
    const match = number.exec(this.#text);
    if (!match)
      return this.#fail(this.#at < this.#text.length ? 'expected a value' : 'the text ends too soon');
    this.#at = number.lastIndex;
    const value = Number(match[0]);
    const isInteger = match[1] === undefined && match[2] === undefined;
    return isInteger && !Number.isSafeInteger(value) ? BigInt(match[0]) : value;
  }

  #take(character: string): boolean {
    this.#skipBlanks();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #skipBlanks(): void {
    blanks.lastIndex = this.#at;
    blanks.exec(this.#text);
    this.#at = blanks.lastIndex;
  }

  #fail(message: string): never {
    throw new JsonSyntaxError(message, this.#text, this.#at);
  }
}
