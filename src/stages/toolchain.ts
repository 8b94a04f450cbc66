import { readFileSync } from 'node:fs';
import { ownFile } from '../own-files.js';
import { runtimeVersion } from '../runtime/version.js';

/**
 * The programs that decide an artifact's bytes. Node's version and the machine are not among them: no stage lets them
 * in, and where they do make a difference (a kernel that rounds another way on another CPU) the files' digests tell.
 * So one config, data and seed has one digest on Node 20, 22 and 24.
 */
export function readToolchain(): { readonly maas: string; readonly onnxruntime: string } {
  const { version } = JSON.parse(readFileSync(ownFile('package.json'), 'utf8')) as { version: string };
  return { maas: version, onnxruntime: runtimeVersion() };
}
