import { readFile } from 'node:fs/promises';
import { isMissing } from '../../../../artifacts/durable.js';
import { MaasError } from '../../../../errors.js';

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

interface DockerConfig {
  readonly auths?: Readonly<
    Record<string, { readonly auth?: string; readonly username?: string; readonly password?: string }>
  >;
  readonly credHelpers?: Readonly<Record<string, string>>;
  readonly credsStore?: string;
}

/**
 * The login for a registry, as `docker login` left it: from a credential helper, or in the file itself.
 * @returns undefined when there is none: many registries let anybody read.
 * @throws MaasError MAAS_REGISTRY when the file cannot be understood, or the helper fails.
 */
export async function readCredentials(file: string, host: string): Promise<Credentials | undefined> {
  const config = await readConfig(file);
  const helper = config?.credHelpers?.[host] ?? config?.credsStore;
  if (helper !== undefined) return askHelper(helper, host);
  const entry = config?.auths?.[host] ?? config?.auths?.[`https://${host}`];
  if (entry?.auth !== undefined && entry.auth !== '') {
    const [username = '', ...password] = Buffer.from(entry.auth, 'base64').toString('utf8').split(':');
    return { username, password: password.join(':') };
  }
  if (entry?.username === undefined || entry.password === undefined) return undefined;
  return { username: entry.username, password: entry.password };
}

async function readConfig(file: string): Promise<DockerConfig | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as DockerConfig;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw new MaasError('MAAS_REGISTRY', 'the docker config cannot be read', {
      place: { file },
      hint: 'It must be a JSON file that you may read; `docker login` or `podman login` writes one.',
      cause: error,
    });
  }
}

/** The protocol of docker-credential-helpers: the host on stdin, a JSON object on stdout. */
async function askHelper(helper: string, host: string): Promise<Credentials | undefined> {
  const program = `docker-credential-${helper}`;
  const { execa } = await import('execa');
  const { stdout, exitCode, message } = (await execa(program, ['get'], { input: host, reject: false })) as {
    stdout: string;
    exitCode?: number;
    message?: string;
  };
  if (exitCode === 0) {
    const { Username, Secret } = JSON.parse(stdout) as { Username: string; Secret: string };
    return { username: Username, password: Secret };
  }
  if (/not found/i.test(stdout)) return undefined;
  throw new MaasError(
    'MAAS_REGISTRY',
    `${program} gives no login for ${host}: ${stdout.trim() || (message ?? '')}`,
  );
}
