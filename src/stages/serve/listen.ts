import { Server, type AddressInfo } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { MaasError } from '../../errors.js';

export interface Place {
  readonly host: string;
  readonly port: number;
  /** Told when a connection cannot be accepted, such as for want of file descriptors. */
  readonly onError: (error: Error) => void;
}

/** @throws MaasError MAAS_PORT when it cannot listen there. */
export function listen(server: Server, { host, port, onError }: Place): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(asPortError(error, host, port));
    });
    server.listen({ host, port }, () => {
      server.removeAllListeners('error').on('error', onError);
      resolve();
    });
  });
}

function asPortError(error: NodeJS.ErrnoException, host: string, port: number): Error {
  const place = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  switch (error.code) {
    case 'EADDRINUSE':
      return new MaasError('MAAS_PORT', `${place} is in use by another program`, { cause: error });
    case 'EACCES':
      return new MaasError('MAAS_PORT', `this user may not listen on ${place}`, {
        hint: 'Ports below 1024 need rights of their own: choose a higher one with --port.',
        cause: error,
      });
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EINVAL':
    case 'EAFNOSUPPORT':
      return new MaasError('MAAS_PORT', `cannot listen on ${place}: ${host} is no address of this machine`, {
        hint: 'Choose another with --host: 127.0.0.1 for this machine only, 0.0.0.0 for all its networks.',
        cause: error,
      });
    default:
      return error;
  }
}

export function urlOf(server: Server, scheme: string): string {
  const { address, family, port } = server.address() as AddressInfo;
  // The wildcard is no address that anyone can connect to everywhere.
  if (address === '0.0.0.0' || address === '::') return `${scheme}://localhost:${port}`;
  return `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}

/** Takes in connections that are made already: the system resets those that are not accepted when a listener closes. */
export async function acceptAll(server: Server, limit: number): Promise<void> {
  const start = performance.now();
  let accepted = 0;
  const count = (): void => {
    accepted++;
  };
  server.on('connection', count);
  // The event loop accepts one connection a turn, so that a turn without one means that none was waiting.
  for (let quiet = 0; quiet < 2 && performance.now() - start < limit;) {
    const before = accepted;
    await nextTurn();
    quiet = accepted === before ? quiet + 1 : 0;
  }
  server.off('connection', count);
}

/** http's own `close` would also cut idle connections, where a request may be on its way at this moment. */
export function closeListener(server: Server): Promise<void> {
  return new Promise((resolve) => {
    Server.prototype.close.call(server, () => {
      resolve();
    });
  });
}
