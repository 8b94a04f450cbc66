import { homedir } from 'node:os';
import { join } from 'node:path';
import { findPackage } from '../../../../../src/runtime/tfjs-package.js';
import { loadTfjs } from '../../../../../src/runtime/load-tfjs.js';
import type { Tf } from '../../../../../src/ir/tfjs/tf.js';

/** Where `maas engines install` puts things for this user. */
const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'maas');
export const places = { root: process.cwd(), cache };

const folder = findPackage(places);
/** Where the package lies, if it does. */
export const packageFolder = folder;

/** Joins the titles of tests that are skipped. */
export const absent = folder === undefined ? ' (skipped: run `maas engines install tfjs-node`)' : '';

export function openTf(): Tf {
  return loadTfjs(folder!, 1) as Tf;
}
