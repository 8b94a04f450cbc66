import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import { resolve } from 'node:path';
import { MaasError } from '../../errors.js';
import type { Project } from '../../plugin/api.js';

/** A server, and what it takes to be let in. */
export interface Door {
  readonly url: string;
  readonly signal: AbortSignal;
  /** What lets callers in, where the server asks for it. */
  readonly key?: string | undefined;
  /** Certificate that the server shows, or one that signed it, PEM: of no public authority's, as often as not. */
  readonly certificate?: string | undefined;
}

export interface Said {
  readonly status: number;
  readonly text: string;
}

interface ServeSection {
  readonly host?: string;
  readonly port?: number;
  readonly keys?: readonly string[];
  readonly tls?: { readonly cert: string };
}

/** Sends JSON, or asks for what is there. */
export async function ask(door: Door, path: string, body?: unknown): Promise<Said> {
  const { url, signal, key, certificate } = door;
  const headers = {
    ...(key !== undefined && { 'x-api-key': key }),
    ...(body !== undefined && { 'content-type': 'application/json' }),
  };
  const to = new URL(path, url);
  const content = body === undefined ? undefined : JSON.stringify(body);
  const method = body === undefined ? 'GET' : 'POST';
  if (certificate !== undefined && to.protocol === 'https:') {
    return askSecurely(to, { method, headers, signal, certificate, content });
  }
  const answer = await fetch(to, {
    method,
    headers,
    signal,
    ...(content !== undefined && { body: content }),
  });
  return { status: answer.status, text: await answer.text() };
}

interface SecureQuestion {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly certificate: string;
  readonly content: string | undefined;
}

/** `fetch` takes no certificates. The server is known by its certificate, whatever address it is asked at. */
function askSecurely(to: URL, { certificate, content, ...rest }: SecureQuestion): Promise<Said> {
  return new Promise((done, fail) => {
    const options = {
      ...rest,
      ca: certificate,
      allowPartialTrustChain: true,
      checkServerIdentity: () => undefined,
      agent: false,
    };
    const asked = request(to, options, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => (text += part));
      answer.once('error', fail).once('end', () => {
        done({ status: answer.statusCode ?? 0, text });
      });
    });
    asked.once('error', fail).end(content);
  });
}

/** The first of a project's keys that is no digest: those open nothing. */
export function keyOf({ config }: Pick<Project, 'config'>): string | undefined {
  return serveSection({ config }).keys?.find((key) => !key.startsWith('sha256:'));
}

/** Whether the project's server speaks TLS. */
export function schemeOf({ config }: Pick<Project, 'config'>): 'http' | 'https' {
  return serveSection({ config }).tls === undefined ? 'http' : 'https';
}

/** Where the project's own `maas serve` answers on this machine, unless `url` says. */
export function urlOfProject({ config }: Pick<Project, 'config'>): string {
  const { host = '127.0.0.1', port = 8080 } = serveSection({ config });
  const here = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `${schemeOf({ config })}://${here.includes(':') ? `[${here}]` : here}:${port}`;
}

/**
 * What the `serve` section says of how to be let in.
 * @throws MaasError MAAS_CONFIG_INVALID when its certificate cannot be read.
 */
export async function credentialsOf(project: Project): Promise<Pick<Door, 'key' | 'certificate'>> {
  const { tls } = serveSection(project);
  const key = keyOf(project);
  if (tls === undefined) return { key };
  const file = resolve(project.root, tls.cert);
  try {
    return { key, certificate: await readFile(file, 'utf8') };
  } catch (error) {
    throw new MaasError('MAAS_CONFIG_INVALID', 'the certificate of serve.tls cannot be read', {
      place: { file },
      hint: 'It is needed here, too, to know the server by.',
      cause: error,
    });
  }
}

function serveSection({ config }: Pick<Project, 'config'>): ServeSection {
  return config['serve'] ?? {};
}
