import { fileURLToPath } from 'node:url';
import { ownFile } from '../../own-files.js';

/** This package's own command line. */
export function ownScript(): string {
  return fileURLToPath(ownFile('bin/run.js'));
}
