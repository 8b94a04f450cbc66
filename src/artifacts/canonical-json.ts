/**
 * The one spelling of a value: keys sorted by UTF-16 code units, no white space, numbers as ECMAScript prints them
 * (RFC 8785). Members that are undefined are left out, as `JSON.stringify` does, so that an option that was not given
 * and an option given as undefined are the same.
 * @throws TypeError for what JSON cannot hold without loss: NaN, infinities, bigints, functions, dates, maps, typed
 * arrays, holes in arrays.
 */
export function canonicalJson(value: unknown): string {
  return print(value, '$');
}

function print(value: unknown, path: string): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError(`${path} is ${value}, which JSON cannot hold`);
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) {
    return `[${Array.from(value, (item, index) => print(item, `${path}[${index}]`)).join(',')}]`;
  }
  if (isPlainObject(value)) {
    const members = Object.keys(value)
      .filter((key) => value[key] !== undefined)
      .sort()
      .map((key) => `${JSON.stringify(key)}:${print(value[key], `${path}.${key}`)}`);
    return `{${members.join(',')}}`;
  }
  throw new TypeError(`${path} is ${describe(value)}, which JSON cannot hold`);
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function describe(value: unknown): string {
  if (typeof value !== 'object') return typeof value;
  return `a ${value?.constructor.name ?? 'foreign object'}`;
}
