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
