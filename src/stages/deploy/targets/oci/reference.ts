/** A repository of a registry: where its API answers, and its name there. */
export interface Repository {
  /** As the docker config names it: host and port. */
  readonly host: string;
  /** Base of the API, such as `https://registry.example.com`. */
  readonly origin: string;
  readonly name: string;
}

const namePart = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;

/**
 * Reads `registry.example.com/me/iris`; without a host, the repository is Docker Hub's. Only this machine is spoken to without TLS,
 * unless `insecure` says so.
 * @returns undefined for what is no repository. A tag or digest is none of it: maas sets the tags.
 */
export function parseRepository(text: string, insecure = false): Repository | undefined {
  const [first = '', ...others] = text.split('/');
  const hasHost = others.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  const host = hasHost ? first : 'docker.io';
  const path = hasHost ? others : [first, ...others];
  if (!/^[\w.-]+(:\d+)?$/.test(host) || !path.every((part) => namePart.test(part))) return undefined;
  if (host === 'docker.io') {
    const name = path.length === 1 ? `library/${path[0]!}` : path.join('/');
    return { host: 'https://index.docker.io/v1/', origin: 'https://registry-1.docker.io', name };
  }
  const isHere = /^(localhost|127(\.\d+){3})(:|$)/.test(host);
  return { host, origin: `${isHere || insecure ? 'http' : 'https'}://${host}`, name: path.join('/') };
}

/** An image that is named by its digest, and so can only ever be one. */
export interface Pinned {
  readonly repository: Repository;
  /** `sha256:` and 64 hexadecimal digits. */
  readonly digest: string;
  /** As it was written. */
  readonly reference: string;
}

/** Reads `node@sha256:…` or `registry.example.com/node:22@sha256:…`, where a tag only tells people what it is. */
export function parsePinned(reference: string, insecure = false): Pinned | undefined {
  const [, name, digest] = /^(.+?)(?::[\w][\w.-]{0,127})?@(sha256:[0-9a-f]{64})$/.exec(reference) ?? [];
  const repository = name === undefined ? undefined : parseRepository(name, insecure);
  return repository && digest !== undefined ? { repository, digest, reference } : undefined;
}
