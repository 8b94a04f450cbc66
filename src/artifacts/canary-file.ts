import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { canonicalJson } from './canonical-json.js';
import { isDigest } from './digest.js';
import { isMissing, replaceFile } from './durable.js';
import type { Json } from './manifest.js';

/**
 * `canary.json` in a folder of releases: how a deploy asks the server that follows the folder to try a release on part
 * of the requests. It holds only while somebody renews it, so that a deploy that was killed leaves no release at work
 * that nobody watches.
 */
export interface CanaryOrder {
  /** Digest of the release to try; it lies in `releases/`. */
  readonly release: string;
  /** Percent of the requests that it answers. */
  readonly percent: number;
  /** Whether it also gets the requests that the current release answers, and answers them to nobody. */
  readonly shadow: boolean;
  /** Header whose value decides who gets it. */
  readonly sticky?: string | undefined;
  /** ISO 8601; from then on the order is void. */
  readonly until: string;
  /** What whoever watches it has to remember. */
  readonly watched?: Json | undefined;
}

const fileName = 'canary.json';

export function canaryFile(folder: string): string {
  return join(folder, fileName);
}

/** @returns undefined when there is none, or none that can be understood; one that is void is given all the same. */
export async function readCanary(folder: string): Promise<CanaryOrder | undefined> {
  let text: string;
  try {
    text = await readFile(canaryFile(folder), 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  const order = parse(text);
  return order !== null && isOrder(order) ? order : undefined;
}

export function writeCanary(folder: string, order: CanaryOrder, tmp: string): Promise<void> {
  return replaceFile(canaryFile(folder), canonicalJson(order), tmp);
}

export function removeCanary(folder: string): Promise<void> {
  return rm(canaryFile(folder), { force: true });
}

function parse(text: string): Partial<CanaryOrder> | null {
  try {
    return JSON.parse(text) as Partial<CanaryOrder> | null;
  } catch {
    return null;
  }
}

function isOrder(order: Partial<CanaryOrder>): order is CanaryOrder {
  const { release, percent, until } = order;
  return (
    typeof release === 'string' &&
    isDigest(release) &&
    typeof percent === 'number' &&
    percent >= 0 &&
    percent <= 100 &&
    typeof until === 'string'
  );
}
