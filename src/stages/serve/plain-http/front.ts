import type { Server, Socket } from 'node:net';
import type { Answer, Timeouts } from '../http.js';
import { RequestError } from '../request-error.js';
import { PlainConnection, type PlainOptions } from './connection.js';
import { PlainHeads } from './head.js';
import { createClock } from './print-head.js';

export interface PlainFront {
  /** Closes the connections that nobody asks anything on. */
  closeIdle(): void;
  closeAll(): void;
}

export type PlainFrontOptions = Omit<
  PlainOptions,
  'heads' | 'landing' | 'pass' | 'onClose' | 'keepAlive' | 'now'
> & {
  readonly timeouts: Timeouts;
};

/** Reads the connections of an HTTP server itself, for as long as what comes on them is of the plainest kind. */
export function takeConnections(server: Server, options: PlainFrontOptions): PlainFront {
  const { timeouts } = options;
  const connections = new Set<PlainConnection>();
  // The first is the one with which it was made: what node:http does with a connection.
  const [pass] = server.listeners('connection') as ((this: Server, socket: Socket) => void)[];
  server.off('connection', pass!);
  const shared: PlainOptions = {
    ...options,
    heads: new PlainHeads(),
    landing: Buffer.allocUnsafeSlow(65_536),
    now: createClock(),
    keepAlive: Math.floor(timeouts.keepAlive / 1000),
    pass(socket, unread) {
      pass!.call(server, socket);
      socket.unshift(unread);
    },
    onClose: (connection) => connections.delete(connection),
  };
  server.on('connection', (socket: Socket) => {
    connections.add(new PlainConnection(socket, shared));
  });
  const late: Answer = options.fail(new RequestError(408, 'the request did not come whole in time'));
  const timer = setInterval(
    () => {
      const now = performance.now();
      for (const connection of connections) {
        const waited = now - connection.since;
        if (connection.reading) {
          if (waited > timeouts.request) connection.giveUp(late);
        } else if (connection.idle && waited > (connection.served ? timeouts.keepAlive : timeouts.headers)) {
          connection.destroy();
        }
      }
    },
    Math.min(1000, timeouts.headers),
  ).unref();
  server.once('close', () => {
    clearInterval(timer);
  });
  return {
    closeIdle() {
      for (const connection of connections) if (connection.idle) connection.destroy();
    },
    closeAll() {
      for (const connection of connections) connection.destroy();
    },
  };
}
