import { fileURLToPath } from 'node:url';

/** This package's own command line. bin/ lies beside both src/ and dist/. */
export function ownScript(): string {
  return fileURLToPath(new URL('../../../bin/run.js', import.meta.url));
}
