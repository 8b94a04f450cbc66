import { createRequire } from 'node:module';
import { runtimeVersion } from '../runtime/version.js';

/**
 * The programs that decide an artifact's bytes. Node's version and the machine are not among them: no stage lets them
 * in, and where they do make a difference (a kernel that rounds another way on another CPU) the files' digests tell.
 * So one config, data and seed has one digest on Node 20, 22 and 24.
 */
export function readToolchain(): { readonly maas: string; readonly onnxruntime: string } {
  const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
  return { maas: version, onnxruntime: runtimeVersion() };
}
