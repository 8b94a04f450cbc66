import { appendFileSync, mkdirSync, readFileSync, readdirSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { decodeScalar, encodeScalar, encodeVersion, type Scalar } from './events.js';
import { decodeRecords, encodeRecord } from './records.js';

export interface EventFile {
  /** Appends scalars; those of steps that the file has already are left out. */
  add(scalars: readonly Scalar[]): void;
}

/** Opens the event file of a folder, to go on with, or begins one. What a kill tore off at its end is cut away. */
export function openEventFile(folder: string): EventFile {
  mkdirSync(folder, { recursive: true });
  const now = () => Date.now() / 1000;
  const found = readdirSync(folder).find((name) => name.startsWith('events.out.tfevents.'));
  const path = join(folder, found ?? `events.out.tfevents.${Math.floor(now())}.maas`);
  /** The last step of each tag. */
  const last = new Map<string, number>();
  let isEmpty = true;
  if (found !== undefined) {
    const file = readFileSync(path);
    const { records, end } = decodeRecords(file);
    if (end < file.length) truncateSync(path, end);
    isEmpty = records.length === 0;
    for (const scalar of records.map(decodeScalar)) if (scalar) last.set(scalar.tag, scalar.step);
  }
  if (isEmpty) appendFileSync(path, encodeRecord(encodeVersion(now())));
  return {
    add(scalars) {
      const fresh = scalars.filter(({ tag, step }) => step > (last.get(tag) ?? 0));
      if (fresh.length === 0) return;
      appendFileSync(path, Buffer.concat(fresh.map((scalar) => encodeRecord(encodeScalar(scalar, now())))));
      for (const { tag, step } of fresh) last.set(tag, step);
    },
  };
}
