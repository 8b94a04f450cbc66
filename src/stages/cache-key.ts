import { canonicalJson, digestOf, type Artifact, type Json } from '../artifacts/index.js';
import type { Kind, Project, Stage } from '../plugin/api.js';
import { readToolchain } from './toolchain.js';

export type Parts = Readonly<Record<string, Json>>;

/** Parts that the runner knows by itself: the project, the stage's options and inputs, the code. */
export function knownParts(
  project: Project,
  stage: Stage,
  inputs: Readonly<Partial<Record<Kind, Pick<Artifact, 'digest'>>>>,
): Parts {
  const parts: Record<string, Json> = { name: project.name, seed: project.seed, version: stage.version };
  Object.assign(parts, readToolchain());
  for (const [kind, { digest }] of Object.entries(inputs)) parts[`input.${kind}`] = digest;
  addLeaves(parts, 'options', artifactOptions(project, stage));
  return parts;
}

/** The options that can change the stage's artifact. */
export function artifactOptions(project: Project, stage: Stage): unknown {
  const options = project.config[stage.name];
  return stage.artifactOptions ? stage.artifactOptions(options) : options;
}

/** Known parts and those that the stage states itself, by leaf path. */
export function allParts(stage: Stage, known: Parts, stated: Readonly<Record<string, Json>>): Parts {
  const parts: Record<string, Json> = {};
  for (const [name, value] of Object.entries(stated)) addLeaves(parts, name, value);
  const clash = Object.keys(parts).find((name) => Object.hasOwn(known, name));
  if (clash !== undefined)
    throw new Error(`key() of stage ${stage.name} states ${clash}, which is stated already`);
  return { ...parts, ...known };
}

/** One line for every part that differs, such as `options.epochs changed: 60 → 80`. */
export function explainChanges(before: Parts, after: Parts): string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return names.flatMap((name) => {
    const [old, now] = [before[name], after[name]];
    if (old === undefined) return isFilled(name, before) ? [] : [`${name} added: ${show(now!)}`];
    if (now === undefined) return isFilled(name, after) ? [] : [`${name} removed (was ${show(old)})`];
    return canonicalJson(old) === canonicalJson(now) ? [] : [`${name} changed: ${show(old)} → ${show(now)}`];
  });
}

/** True when `name`, an empty object or list elsewhere, has members here: those are told one by one. */
function isFilled(name: string, parts: Parts): boolean {
  return Object.keys(parts).some((other) => other.startsWith(`${name}.`) || other.startsWith(`${name}[`));
}

/** Enough of a digest to tell it from others by eye. */
export function shorten(digest: string): string {
  return digest.slice(0, 12);
}

function addLeaves(parts: Record<string, Json>, path: string, value: unknown): void {
  if (value === undefined) return;
  if (Array.isArray(value) && value.length > 0) {
    value.forEach((item, index) => {
      addLeaves(parts, `${path}[${index}]`, item);
    });
  } else if (typeof value === 'object' && value !== null && Object.keys(value).length > 0) {
    for (const [key, item] of Object.entries(value as Record<string, unknown>)) {
      // Records are plain files and `--why` prints them: a secret must not get there.
      const leaf = typeof item === 'string' && isSecret(key) ? `secret ${shorten(digestOf(item))}` : item;
      addLeaves(parts, /^\w+$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`, leaf);
    }
  } else {
    parts[path] = value as Json;
  }
}

function isSecret(key: string): boolean {
  return /password|passphrase|secret|token|credential|api_?key|private_?key/i.test(key);
}

function show(value: Json): string {
  const text = typeof value === 'string' ? value : canonicalJson(value);
  if (/^[0-9a-f]{40,}$/.test(text)) return `${shorten(text)}…`;
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
