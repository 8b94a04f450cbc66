// Verifies a release that is never ready, for as long as it is let. Arguments: server script, path of the release.
import { basename } from 'node:path';
import { verifyRelease } from '../../../dist/internals/deploy.js';

const [script, path] = process.argv.slice(2);
const { signal } = new globalThis.AbortController();
await verifyRelease(
  { path, digest: basename(path) },
  { script, args: ['--mode', 'never-ready'], timeout: 60, signal },
);
