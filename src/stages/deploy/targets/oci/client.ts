import { setTimeout as wait } from 'node:timers/promises';
import { MaasError } from '../../../../errors.js';
import type { Credentials } from './credentials.js';
import type { Repository } from './reference.js';

export interface ClientOptions {
  readonly repository: Repository;
  /** Asked once, when the registry wants to know who we are. */
  readonly login: () => Promise<Credentials | undefined>;
  readonly signal: AbortSignal;
  /** Milliseconds before the second try; doubles with each. */
  readonly pause?: number;
}

export interface Ask {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  /** Path below `/v2/<name>/`, or a whole URL that the registry gave. */
  readonly to: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Statuses that are an answer; every other is a failure. */
  readonly expect: readonly number[];
  /** Times it may be sent. What must not be repeated blindly is sent once. */
  readonly tries?: number;
}

export const tries = 6;
/** Milliseconds that one request may take. */
const requestTimeout = 120_000;

const loginHint =
  'Log in with `docker login` or `podman login --authfile`, as somebody who may write there, and check the target’s dockerConfig.';

/** Speaks HTTP with one repository: knows who we are, and tries again what may come right. */
export class Client {
  private authorization: string | undefined;

  constructor(private readonly options: ClientOptions) {}

  /** @throws MaasError MAAS_REGISTRY telling what was asked and what came back. */
  async ask(ask: Ask): Promise<Response> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.askOnce(ask);
      } catch (error) {
        if (attempt >= (ask.tries ?? tries) || !mayComeRight(error)) throw error;
        await this.rest(attempt);
      }
    }
  }

  /** Waits longer after each failed attempt. */
  async rest(attempt: number): Promise<void> {
    await wait((this.options.pause ?? 250) * 2 ** (attempt - 1), undefined, { signal: this.options.signal });
  }

  private async askOnce(ask: Ask): Promise<Response> {
    let response = await this.send(ask);
    if (response.status === 401) {
      this.authorization = await this.authorize(response);
      response = await this.send(ask);
    }
    if (ask.expect.includes(response.status)) return response;
    const said = (await response.text().catch(() => '')).slice(0, 300);
    throw this.failure(ask, `${response.status} ${said}`.trim(), response.status);
  }

  private async send({ method, to, headers, body, ...rest }: Ask): Promise<Response> {
    const { signal } = this.options;
    signal.throwIfAborted();
    try {
      return await fetch(this.url(to), {
        method,
        headers: { ...headers, ...(this.authorization && { authorization: this.authorization }) },
        ...(body && { body: body as Uint8Array<ArrayBuffer> }),
        signal: AbortSignal.any([signal, AbortSignal.timeout(requestTimeout)]),
      });
    } catch (error) {
      signal.throwIfAborted();
      throw this.failure({ method, to, ...rest }, describe(error), undefined, error);
    }
  }

  private url(to: string): URL {
    const { origin, name } = this.options.repository;
    return new URL(to, `${origin}/v2/${name}/`);
  }

  /** Answers a challenge (RFC 7235, and the distribution project's token authentication). */
  private async authorize(response: Response): Promise<string> {
    const challenge = response.headers.get('www-authenticate') ?? '';
    const login = await this.options.login();
    const identityToken = login && 'identityToken' in login ? login.identityToken : undefined;
    const basic =
      login && 'username' in login
        ? `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`
        : undefined;
    const refuse = (why: string): MaasError =>
      new MaasError('MAAS_REGISTRY', `${this.options.repository.host} ${why}`, {
        hint: loginHint,
        details: { status: 401 },
      });
    if (/^basic/i.test(challenge)) {
      if (basic === undefined || basic === this.authorization) throw refuse('refuses the login');
      return basic;
    }
    const parameters = Object.fromEntries(
      [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key!, value!]),
    );
    if (!/^bearer/i.test(challenge) || parameters['realm'] === undefined) throw refuse('asks for a login');
    const url = new URL(parameters['realm']);
    for (const key of ['service', 'scope']) {
      if (parameters[key] !== undefined) url.searchParams.set(key, parameters[key]);
    }
    // An upload is asked for what a HEAD before it was not: ask for both at once.
    url.searchParams.set('scope', `repository:${this.options.repository.name}:pull,push`);
    const answer = await (
      identityToken === undefined
        ? fetch(url, { headers: { ...(basic && { authorization: basic }) }, signal: this.options.signal })
        : fetch(parameters['realm'], {
            method: 'POST',
            body: new URLSearchParams([
              ...url.searchParams,
              ['grant_type', 'refresh_token'],
              ['refresh_token', identityToken],
              ['client_id', 'maas'],
            ]),
            signal: this.options.signal,
          })
    ).catch((error: unknown) => {
      throw this.failure({ method: 'GET', to: url.href, expect: [] }, describe(error), undefined, error);
    });
    if (answer.status >= 500) {
      throw this.failure({ method: 'GET', to: url.href, expect: [] }, String(answer.status), answer.status);
    }
    if (!answer.ok) throw refuse(`gives no token (${answer.status})`);
    const { token, access_token } = (await answer.json()) as { token?: string; access_token?: string };
    return `Bearer ${token ?? access_token ?? ''}`;
  }

  private failure(ask: Ask, said: string, status?: number, cause?: unknown): MaasError {
    return new MaasError('MAAS_REGISTRY', `${ask.method} ${this.url(ask.to).href}: ${said}`, {
      cause,
      ...((status === 401 || status === 403) && { hint: loginHint }),
      details: { ...(status !== undefined && { status }) },
    });
  }
}

/** A broken connection, a busy registry, one that fails inside: not what it refuses. */
export function mayComeRight(error: unknown): boolean {
  if (!(error instanceof MaasError) || error.code !== 'MAAS_REGISTRY') return false;
  const status = error.details?.['status'] as number | undefined;
  return status === undefined || status >= 500 || status === 429 || status === 408;
}

function describe(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? `${message} (${cause.message})` : message;
}
