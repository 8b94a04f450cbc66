import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { placeIn } from '../../config/place.js';
import { MaasError } from '../../errors.js';
import type { Project } from '../../plugin/api.js';
import type { DeployOptions } from './config.js';

type Section = Pick<DeployOptions, 'sign' | 'trust'>;

/**
 * The private key that releases are signed with.
 * @throws MaasError MAAS_CONFIG_INVALID for a file that holds none.
 */
export async function readSigningKey(project: Project, { sign }: Section): Promise<KeyObject | undefined> {
  if (sign === undefined) return undefined;
  const { key, passphrase } = sign;
  return readKey(project, key, ['deploy', 'sign', 'key'], (pem) =>
    createPrivateKey({ key: pem, ...(passphrase !== undefined && { passphrase }) }),
  );
}

/**
 * The public keys that releases must be signed with one of; undefined when any release will do.
 * @throws MaasError MAAS_CONFIG_INVALID for a file that holds none.
 */
export async function readTrustedKeys(
  project: Project,
  { trust }: Section,
): Promise<readonly KeyObject[] | undefined> {
  if (trust === undefined) return undefined;
  return Promise.all(
    trust.map((key, index) =>
      readKey(project, key, ['deploy', 'trust', index], (pem) => createPublicKey(pem)),
    ),
  );
}

/** @param text PEM itself, as an environment variable may hold it, or the path of a file with it. */
async function readKey(
  project: Project,
  text: string,
  path: readonly (string | number)[],
  parse: (pem: string) => KeyObject,
): Promise<KeyObject> {
  const place = placeIn(project, path);
  const refuse = (message: string, hint: string, cause?: unknown): MaasError =>
    new MaasError('MAAS_CONFIG_INVALID', message, { place, hint, cause });
  const isPem = text.trimStart().startsWith('-----BEGIN ');
  const file = isPem ? 'the key' : resolve(project.root, text);
  const pem = isPem
    ? text
    : await readFile(file, 'utf8').catch((error: unknown) => {
        const { code } = error as NodeJS.ErrnoException;
        throw refuse(
          `cannot read the key ${file} (${code})`,
          'Check the path: it is relative to the config file.',
          error,
        );
      });
  let key: KeyObject;
  try {
    key = parse(pem);
  } catch (error) {
    throw refuse(
      `${file} is no key in PEM, or its passphrase is another: ${(error as Error).message}`,
      'Make a pair: openssl genpkey -algorithm ed25519 -out key.pem; openssl pkey -in key.pem -pubout -out key.pub.pem',
      error,
    );
  }
  if (key.asymmetricKeyType === 'ed25519') return key;
  throw refuse(
    `${file} is a key for ${key.asymmetricKeyType ?? 'something else'}, not for Ed25519`,
    'Other kinds may sign one text differently each time, and a release is to be the same bytes whenever it is built.',
  );
}
