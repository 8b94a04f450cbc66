import { readFile } from 'node:fs/promises';
import { isMissing } from '../../../../artifacts/durable.js';
import { MaasError } from '../../../../errors.js';

export type Credentials =
  | { readonly username: string; readonly password: string }
  /** What single sign-on left: it is good for tokens (OAuth 2.0, RFC 6749, section 6), and for nothing else. */
  | { readonly identityToken: string };

/** As if the registry had said so: it does not come right by asking again. */
const noLogin = { status: 401 };

interface DockerConfig {
  readonly auths?: Readonly<
    Record<
      string,
      {
        readonly auth?: string;
        readonly username?: string;
        readonly password?: string;
        readonly identitytoken?: string;
      }
    >
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
  if (entry?.identitytoken !== undefined && entry.identitytoken !== '') {
    return { identityToken: entry.identitytoken };
  }
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
      details: noLogin,
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
  if (exitCode === 0) return readAnswer(program, stdout);
  if (/not found/i.test(stdout)) return undefined;
  throw new MaasError(
    'MAAS_REGISTRY',
    `${program} gives no login for ${host}: ${stdout.trim() || (message ?? '')}`,
    { details: noLogin },
  );
}

function readAnswer(program: string, answer: string): Credentials {
  const failure = (cause?: unknown): MaasError =>
    new MaasError('MAAS_REGISTRY', `${program} answers something else than a login`, {
      cause,
      details: noLogin,
    });
  let login: { readonly Username?: unknown; readonly Secret?: unknown } | null;
  try {
    login = JSON.parse(answer) as typeof login;
  } catch (error) {
    throw failure(error);
  }
  if (typeof login?.Username !== 'string' || typeof login.Secret !== 'string') throw failure();
  // By the protocol, this name says that the secret is no password.
  if (login.Username === '<token>') return { identityToken: login.Secret };
  return { username: login.Username, password: login.Secret };
}
