import { Socket } from 'node:net';

/** Memory for what comes in on a connection. */
export interface Landing {
  /** For the next bytes, one at least. Asked for when the ones before have been taken. */
  readonly room: () => Uint8Array;
  /** @param room in which so many bytes came, to be taken at once. */
  readonly take: (length: number, room: Uint8Array) => void;
}

/**
 * Reads a connection straight into memory of the caller's, as much at once as there is: node:net makes new memory for each
 * 64 kB, which then have to be put together. It offers this, as `onread`, for connections that one makes oneself; to one that
 * came in it takes the handle, which the connection's old socket hands over to a new one.
 * @returns The socket that takes the place of the old one, which closes with it. Undefined where there is none: this Node.js
 * has no such handles, or something is on its way in the old one.
 */
export function readInto(old: Socket, { room, take }: Landing): Socket | undefined {
  const holder = old as unknown as { _handle?: object | null };
  const handle = holder._handle;
  if (!handle || old.destroyed || old.readableLength > 0 || old.writableLength > 0) return undefined;
  holder._handle = null;
  const callback = (length: number, buffer: Uint8Array): boolean => {
    take(length, buffer);
    return true;
  };
  const options = { handle, allowHalfOpen: true, onread: { buffer: room, callback } };
  const socket = new Socket(options);
  // It still counts as one of the server's connections.
  return socket.once('close', () => old.destroy());
}
