import { createServer, type AddressInfo, type Socket } from 'node:net';
import { acceptAll, closeListener, listen, urlOf, type Place } from '../listen.js';

/** A port whose connections others serve. */
export interface Door {
  urlOf(scheme: string): string;
  /** host:port */
  readonly address: string;
  /** Takes what has connected, at most for so many milliseconds, and then nobody any more. */
  close(limit: number): Promise<void>;
}

/** @throws MaasError MAAS_PORT when it cannot listen there. */
export async function openDoor(place: Place, onConnection: (socket: Socket) => void): Promise<Door> {
  // Not a byte is read here: it is another process that reads.
  const server = createServer({ pauseOnConnect: true, noDelay: true, allowHalfOpen: true }, onConnection);
  await listen(server, place);
  return {
    urlOf: (scheme) => urlOf(server, scheme),
    address: `${place.host.includes(':') ? `[${place.host}]` : place.host}:${(server.address() as AddressInfo).port}`,
    async close(limit) {
      await acceptAll(server, limit);
      // It is closed at once; that connections which others have are closed, too, is not waited for.
      void closeListener(server);
    },
  };
}
