import { MaasError } from '../errors.js';
import type { Located, Origin } from './located.js';
import { locate } from './locate.js';
import { describeFound } from './phrase.js';
import { parseYaml } from './parse-yaml.js';
import { SourceText } from './source-text.js';

interface Segment {
  readonly name: string;
  readonly origin: Origin;
}

/**
 * Applies one `--set` argument, `train.optimizer.adam.learningRate=0.01`. Keys that hold dots or `=` go in quotes, list
 * items go by index (the index after the last appends), the value is YAML. Keys that are not there yet are made:
 * validation tells whether they mean anything.
 *
 * @returns The root with the value in place; `root` itself stays as it is.
 * @throws MaasError MAAS_USAGE for a malformed argument, MAAS_CONFIG_INVALID for a path through a value that has no keys.
 */
export function override(root: Located, argument: string): Located {
  const source = new SourceText('--set', argument, false);
  const { path, valueStart } = readPath(source);
  const document = parseYaml(source, argument.slice(valueStart), valueStart);
  const located = locate(document, { source, shift: valueStart });
  const origin =
    located.origin.end > located.origin.start
      ? located.origin
      : { source, start: valueStart, end: argument.length };
  return put(root, path, 0, { ...located, origin });
}

function readPath(source: SourceText): { path: Segment[]; valueStart: number } {
  const { text } = source;
  const segment = /"([^"]+)"|'([^']+)'|([^.="'\s]+)/y;
  const path: Segment[] = [];
  let at = 0;
  do {
    segment.lastIndex = at;
    const match = segment.exec(text);
    if (!match) break;
    const name = match[1] ?? match[2] ?? match[3]!;
    path.push({ name, origin: { source, start: at, end: segment.lastIndex } });
    at = segment.lastIndex;
    if (text[at] === '=') return { path, valueStart: at + 1 };
  } while (text[at++] === '.');
  throw new MaasError('MAAS_USAGE', `--set needs KEY=VALUE, with a key such as train.epochs`, {
    place: source.place(Math.min(at, text.length), at + 1),
    hint: 'For example: --set train.epochs=20',
  });
}

function put(at: Located | undefined, path: readonly Segment[], depth: number, value: Located): Located {
  const segment = path[depth];
  if (!segment) return { ...value, key: path[depth - 1]!.origin };
  const { name, origin } = segment;
  const key = path[depth - 1]?.origin ?? at?.key;
  if (at === undefined) {
    return { origin, key, content: new Map([[name, put(undefined, path, depth + 1, value)]]) };
  }
  const { content } = at;
  if (content instanceof Map) {
    const next = put(content.get(name), path, depth + 1, value);
    return { ...at, content: new Map(content).set(name, next) };
  }
  if (Array.isArray(content)) {
    const index = /^\d+$/.test(name) ? Number(name) : -1;
    if (index < 0 || index > content.length) fail(path, depth, `is a list of ${content.length}`, content);
    const items = [...content];
    items[index] = put(content[index], path, depth + 1, value);
    return { ...at, content: items };
  }
  // A bare name is short for the name with no options: optimizer: adam → optimizer: {adam: {}}.
  if (content === null || content === name || at.unresolved) {
    const next = put(undefined, path, depth + 1, value);
    return { ...at, content: new Map([[name, next]]), unresolved: undefined };
  }
  return fail(path, depth, `is ${describeFound(at)}, which has no keys`);
}

function fail(path: readonly Segment[], depth: number, why: string, list?: readonly unknown[]): never {
  const { name, origin } = path[depth]!;
  const parents = path.slice(0, depth).map((segment) => segment.name);
  const hint = list
    ? `Use an index from 0 to ${list.length}; ${list.length} appends.`
    : 'Set the value itself, or correct the path.';
  throw new MaasError('MAAS_CONFIG_INVALID', `cannot set "${name}": ${parents.join('.')} ${why}`, {
    place: origin.source.place(origin.start, origin.end),
    hint,
  });
}
