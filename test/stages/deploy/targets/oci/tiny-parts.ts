import { randomBytes } from 'node:crypto';
import type { CollectParts } from '../../../../../src/stages/deploy/targets/oci/parts.js';

const noise = randomBytes(1 << 14);

/** An image without Node in it: some bytes that do not compress, and a few files. */
export const tinyParts: CollectParts = () =>
  Promise.resolve({
    base: [{ path: 'usr/local/bin/node', from: noise, executable: true }],
    dependencies: [{ path: 'app/node_modules/a/index.js', from: Buffer.from('export {};') }],
    app: [{ path: 'app/serve.json', from: Buffer.from('{}') }],
    entry: '/app/serve.js',
    port: 8080,
  });
