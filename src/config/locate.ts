import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Alias,
  type Document,
  type Node as YamlNode,
  type YAMLMap,
} from 'yaml';
import { MaasError } from '../errors.js';
import { interpolate, type Environment } from './interpolate.js';
import type { Located, Origin, Scalar } from './located.js';
import type { SourceText } from './source-text.js';

/** Aliases of aliases can stand for billions of values in a few lines. */
const nodeLimit = 100_000;

export interface LocateOptions {
  readonly source: SourceText;
  /** Offset of the document in the source. */
  readonly shift?: number;
  /** Fills in variables when given. */
  readonly env?: Environment;
}

/**
 * Turns a YAML document into values that know their place. Aliases point at what they stand for; merge keys (`<<`) give
 * way to keys of the mapping itself, and among several the first wins.
 * @throws MaasError MAAS_CONFIG_SYNTAX for an alias inside its own anchor and for aliases that explode.
 */
export function locate(document: Document.Parsed, { source, shift = 0, env }: LocateOptions): Located {
  const open = new Set<YamlNode>();
  const targets = new Map<Alias, YamlNode | undefined>();
  let count = 0;

  function visit(node: YamlNode | null, key: Origin | undefined): Located {
    if (node === null) return { origin: key ?? { source, start: shift, end: shift }, key, content: null };
    if (++count > nodeLimit) fail(node, `the aliases stand for more than ${nodeLimit} values`);
    if (isAlias(node)) {
      const target = resolveAlias(node);
      if (!target) return fail(node, `the alias *${node.source} has no anchor before it`);
      if (open.has(target)) fail(node, `the alias *${node.source} stands for something that it is part of`);
      return visit(target, key);
    }
    if (isScalar(node)) return visitScalar(node.value as Scalar, node, key);
    open.add(node);
    const content = isMap(node)
      ? visitMap(node)
      : isSeq(node)
        ? node.items.map((item) => visit(item as YamlNode | null, undefined))
        : null;
    open.delete(node);
    return { origin: originOf(node), key, content };
  }

  /** Remembers, because `resolve` walks the whole document. */
  function resolveAlias(alias: Alias): YamlNode | undefined {
    if (!targets.has(alias)) targets.set(alias, alias.resolve(document));
    return targets.get(alias);
  }

  function visitMap(map: YAMLMap): Map<string, Located> {
    const own = new Map<string, Located>();
    const merged = new Map<string, Located>();
    for (const pair of map.items) {
      const keyNode = pair.key as YamlNode;
      const value = pair.value as YamlNode | null;
      const name = isScalar(keyNode) ? String(keyNode.value) : '';
      if (name === '<<' && isScalar(keyNode) && keyNode.type === 'PLAIN') {
        for (const [inner, child] of visitMerge(value, keyNode)) {
          if (!merged.has(inner)) merged.set(inner, child);
        }
      } else {
        own.set(name, visit(value, originOf(keyNode)));
      }
    }
    for (const [name, child] of merged) if (!own.has(name)) own.set(name, child);
    return own;
  }

  function visitMerge(value: YamlNode | null, at: YamlNode): [string, Located][] {
    const { content } = visit(value, originOf(at));
    const sources = Array.isArray(content) ? content.map((item) => item.content) : [content];
    return sources.flatMap((mapping) => {
      if (!(mapping instanceof Map)) fail(value ?? at, 'a merge key takes a mapping or a list of mappings');
      return [...mapping];
    });
  }

  function visitScalar(value: Scalar, node: YamlNode & { type?: string }, key: Origin | undefined): Located {
    const origin = originOf(node);
    if (env === undefined || typeof value !== 'string' || !value.includes('$')) {
      return { origin, key, content: value };
    }
    const isPlain = node.type === 'PLAIN';
    const filled = interpolate(value, env, isPlain && node.tag === undefined);
    const located = {
      origin: { ...origin, variables: filled.variables, quoted: !isPlain },
      key,
      content: filled.value,
    };
    if (!filled.problem) return located;
    const { reference, message } = filled.problem;
    const offset = source.text.slice(origin.start, origin.end).indexOf(reference);
    const start = origin.start + Math.max(0, offset);
    const end = offset < 0 ? origin.end : start + reference.length;
    return { ...located, unresolved: { message, start, end } };
  }

  function originOf(node: YamlNode): Origin {
    const [start, end] = node.range ?? [0, 0];
    return { source, start: start + shift, end: end + shift };
  }

  function fail(node: YamlNode, message: string): never {
    const { start, end } = originOf(node);
    throw new MaasError('MAAS_CONFIG_SYNTAX', message, { place: source.place(start, end) });
  }

  return visit(document.contents, undefined);
}
