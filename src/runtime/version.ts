import { createRequire } from 'node:module';

/** Version of onnxruntime-node, told without loading its native library; `none` when it is not installed. */
export function runtimeVersion(): string {
  try {
    const facts = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
    return facts.version;
  } catch {
    return 'none';
  }
}
