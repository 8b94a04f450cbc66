import type * as Ort from 'onnxruntime-node';
import { MaasError } from '../errors.js';

export type { Ort };

/**
 * Loads onnxruntime on first use: it costs some 40 ms and 60 MB that `maas status` should not pay.
 * @throws MaasError MAAS_RUNTIME when the native library cannot be loaded.
 */
export async function loadRuntime(): Promise<typeof Ort> {
  // 1.30 otherwise writes a device id under the user's cache folder and starts an uploader.
  process.env['ORT_DISABLE_TELEMETRY'] ??= '1';
  try {
    return (await import('onnxruntime-node')).default as unknown as typeof Ort;
  } catch (error) {
    throw new MaasError('MAAS_RUNTIME', `onnxruntime-node cannot be loaded: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
