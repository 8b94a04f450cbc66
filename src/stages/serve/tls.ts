import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { MaasError } from '../../errors.js';

export interface TlsFiles {
  /** Path of the certificate, PEM, with those between it and the root behind it. */
  readonly cert: string;
  /** Path of its private key, PEM. */
  readonly key: string;
}

export type Credentials = Required<Pick<SecureContextOptions, 'cert' | 'key'>>;

/** @throws MaasError MAAS_USAGE when a file cannot be read, or the two do not belong together. */
export async function readCredentials({ cert, key }: TlsFiles): Promise<Credentials> {
  const [chain, secret] = await Promise.all([read(cert, 'cert'), read(key, 'key')]);
  try {
    createSecureContext({ cert: chain, key: secret });
  } catch (error) {
    throw new MaasError('MAAS_USAGE', `serve.tls: ${(error as Error).message}`, {
      place: { file: cert },
      hint: 'Name a PEM certificate and the private key that belongs to it.',
      cause: error,
    });
  }
  return { cert: chain, key: secret };
}

async function read(path: string, name: keyof TlsFiles): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new MaasError('MAAS_USAGE', `serve.tls.${name} cannot be read: ${(error as Error).message}`, {
      place: { file: path },
      hint: 'Name a PEM file that this user may read.',
      cause: error,
    });
  }
}

/**
 * Looks every so often whether the files were renewed; what does not fit together is refused, and what is in use stays.
 * @returns Ends it.
 */
export function followCredentials(
  files: TlsFiles,
  onChange: (credentials: Credentials) => void,
  onRefused: (error: unknown) => void,
  interval = 10_000,
): () => void {
  const look = async (): Promise<string> => {
    const found = await Promise.all([stat(files.cert), stat(files.key)]);
    return found.map(({ ino, mtimeMs, size }) => `${ino}:${mtimeMs}:${size}`).join();
  };
  let seen = look().catch(() => '');
  const timer = setInterval(() => {
    seen = seen.then(async (before) => {
      try {
        const now = await look();
        if (now !== before) onChange(await readCredentials(files));
        return now;
      } catch (error) {
        // Half of a renewal is no reason to tell anybody yet: the other half is on its way.
        if (error instanceof MaasError) onRefused(error);
        return look().catch(() => before);
      }
    });
  }, interval);
  timer.unref();
  return () => {
    clearInterval(timer);
  };
}
