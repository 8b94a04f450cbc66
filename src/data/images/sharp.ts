import type { SharpConstructor } from 'sharp';
import { MaasError } from '../../errors.js';

/** @throws MaasError MAAS_ENGINE_MISSING when it is not installed. */
export async function loadSharp(): Promise<SharpConstructor> {
  try {
    return (await import('sharp')).default;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const absent = code === 'ERR_MODULE_NOT_FOUND';
    throw new MaasError(
      'MAAS_ENGINE_MISSING',
      `images are read by sharp, which ${absent ? 'is not installed' : `cannot be loaded: ${message.split('\n')[0]}`}`,
      { hint: 'Install it with `npm install sharp` (20 MB), beside maas-cli.', cause: error },
    );
  }
}

/** What the pixels of an image may depend on, beside its file and its spec. */
export async function decoderVersion(): Promise<string> {
  const { versions } = await loadSharp();
  return `sharp ${versions.sharp ?? '?'}, libvips ${versions.vips}`;
}
