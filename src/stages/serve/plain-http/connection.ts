import type { Socket } from 'node:net';
import type { HttpRequest } from '../../../plugin/api.js';
import type { Answer, Caller } from '../http.js';
import type { BodyPool } from './body-pool.js';
import { ComingBody } from './coming-body.js';
import type { PlainHead, PlainHeads } from './head.js';
import { PlainRequest } from './request.js';
import { printHead } from './print-head.js';
import { readInto } from './read-into.js';

export interface PlainOptions {
  readonly heads: PlainHeads;
  readonly bodies: BodyPool;
  /** Where requests come in, of all connections. */
  readonly landing: Buffer;
  readonly maxBodyBytes: number;
  /** Lets node:http have the connection, with what it sent and nobody has read. */
  readonly pass: (socket: Socket, unread: Buffer) => void;
  /** Throws for whom it does not let in. */
  readonly admit: (head: PlainHead) => void;
  /** Never rejects. */
  readonly answer: (request: HttpRequest) => Promise<Answer>;
  readonly fail: (error: unknown) => Answer;
  readonly onBegin: () => void;
  readonly onEnd: (answer: Answer | undefined, start: number, caller: Caller) => void;
  readonly onClose: (connection: PlainConnection) => void;
  /** True once answers should close their connections. */
  readonly isStopping: () => boolean;
  /** In seconds. */
  readonly keepAlive: number;
  /** Date and time, for the head of an answer. */
  readonly now: () => string;
}

const blankLine = Buffer.from('\r\n\r\n');

/**
 * One connection whose requests are of the plainest kind, read without node:http, which takes longer for each than a
 * small model. At the first other one node:http gets the connection, and keeps it.
 */
export class PlainConnection {
  #socket: Socket;
  readonly #options: PlainOptions;
  /** The request whose body is coming in. */
  #coming: { readonly head: PlainHead; readonly body: ComingBody } | undefined;
  /** What comes in is read into memory that is there already. */
  #direct = false;
  /** What came behind the request that is being answered. */
  #held: Buffer | undefined;
  #answering = false;
  #over = false;
  #ended = false;
  /** When it last became idle, or the request under way began; by `performance.now()`. */
  #since = performance.now();
  #served = false;

  constructor(socket: Socket, options: PlainOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#listen(socket.on('data', this.#onData));
  }

  get idle(): boolean {
    return !this.#answering && !this.#coming;
  }

  /** True while the body of a request is coming in. */
  get reading(): boolean {
    return this.#coming !== undefined;
  }

  get since(): number {
    return this.#since;
  }

  /** True after its first request. */
  get served(): boolean {
    return this.#served;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Answers a request that did not come whole in time. */
  giveUp(answer: Answer): void {
    this.#ended = true;
    this.#socket.write(this.#print(answer));
    this.#socket.destroySoon();
  }

  #listen(socket: Socket): void {
    socket.on('end', this.#onEnd).on('close', this.#onClose).on('error', ignore);
  }

  #leave(socket: Socket): void {
    socket.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose).off('error', ignore);
  }

  /** @param chunk To be taken at once: the next connection lands there, too. */
  readonly #onData = (chunk: Buffer): void => {
    if (this.#answering) this.#hold(chunk);
    else if (this.#coming) this.#fill(chunk);
    else this.#begin(chunk);
  };

  /** From the second request on, or the first large body. */
  #readDirectly(): void {
    if (this.#direct) return;
    const { landing } = this.#options;
    const before = this.#socket;
    const socket = readInto(before, {
      room: () => this.#coming?.body.room ?? landing,
      take: (length, room) => {
        if (room === landing) this.#onData(landing.subarray(0, length));
        else this.#advance(length);
      },
    });
    if (!socket) return;
    this.#direct = true;
    this.#leave(before);
    this.#listen(socket);
    this.#socket = socket;
  }

  #hold(chunk: Buffer): void {
    this.#held = Buffer.concat(this.#held ? [this.#held, chunk] : [chunk]);
    // Until it is its turn nothing more is read.
    this.#socket.pause();
  }

  /** At the first byte of a request. */
  #begin(chunk: Buffer): void {
    const end = chunk.indexOf(blankLine);
    const head = end < 0 ? undefined : this.#options.heads.read(chunk.toString('latin1', 0, end));
    if (!head || head.length > this.#options.maxBodyBytes) {
      this.#pass(Buffer.from(chunk));
      return;
    }
    // It is one that stays.
    if (this.#served) this.#readDirectly();
    this.#since = performance.now();
    this.#options.onBegin();
    const from = end + blankLine.length;
    const until = from + head.length;
    if (chunk.length < until) {
      this.#coming = { head, body: new ComingBody(this.#options.bodies, head.length) };
      this.#fill(chunk.subarray(from));
      return;
    }
    if (chunk.length > until) this.#hold(chunk.subarray(until));
    const body = this.#options.bodies.take(head.length);
    body.set(chunk.subarray(from, until));
    void this.#answer(head, body);
  }

  #fill(chunk: Buffer): void {
    const { body } = this.#coming!;
    const { missing } = body;
    if (chunk.length > missing) this.#hold(chunk.subarray(missing));
    body.add(chunk.subarray(0, missing));
    if (body.missing === 0) this.#finish();
    else if (body.room) this.#readDirectly();
  }

  #advance(length: number): void {
    const { body } = this.#coming!;
    body.advance(length);
    if (body.missing === 0) this.#finish();
  }

  #finish(): void {
    const { head, body } = this.#coming!;
    this.#coming = undefined;
    void this.#answer(head, body.finish());
  }

  async #answer(head: PlainHead, body: Buffer): Promise<void> {
    const { admit, answer: ask, bodies, fail } = this.#options;
    this.#answering = true;
    let answer: Answer;
    let printed: string | Buffer;
    try {
      admit(head);
      answer = await ask(new PlainRequest(head, body));
      printed = this.#print(answer);
    } catch (error) {
      answer = fail(error);
      printed = this.#print(answer);
    }
    // What a request brought is of no use to anybody behind its answer.
    bodies.give(body);
    if (this.#over) {
      this.#settle(undefined, head);
      return;
    }
    const socket = this.#socket;
    const stays = this.#stays;
    if (typeof printed === 'string') socket.write(printed, 'utf8');
    else socket.write(printed);
    // Written is what the system took: a caller that reads slowly gets no more before that.
    const sent = socket.writableLength === 0 || (await drained(socket));
    this.#settle(sent ? answer : undefined, head);
    if (stays) this.#next();
    else socket.destroySoon();
  }

  get #stays(): boolean {
    return (!this.#ended || this.#held !== undefined) && !this.#options.isStopping();
  }

  /** All of it in one: each write is a call to the system. */
  #print(answer: Answer): string | Buffer {
    const { keepAlive, now } = this.#options;
    const { body } = answer;
    const head = printHead(answer, Buffer.byteLength(body), this.#stays ? keepAlive : undefined, now());
    if (typeof body === 'string') return head + body;
    const bytes = Buffer.allocUnsafe(head.length + body.length);
    bytes.write(head, 0, 'latin1');
    bytes.set(body, head.length);
    return bytes;
  }

  #settle(answer: Answer | undefined, { url, headers }: PlainHead): void {
    const start = this.#since;
    this.#answering = false;
    this.#served = true;
    this.#since = performance.now();
    this.#options.onEnd(answer, start, { method: 'POST', url, headers, socket: this.#socket });
  }

  #next(): void {
    const held = this.#held;
    if (!held || this.#over) return;
    this.#held = undefined;
    this.#socket.resume();
    this.#begin(held);
  }

  #pass(unread: Buffer): void {
    const socket = this.#socket;
    this.#over = true;
    if (this.#ended) {
      // Nothing can be put back in front of an end; who has closed its side waits for an answer no longer.
      socket.destroySoon();
      return;
    }
    this.#leave(socket);
    this.#options.onClose(this);
    this.#options.pass(socket, unread);
  }

  /** The caller sends no more, and may still wait for an answer. */
  readonly #onEnd = (): void => {
    this.#ended = true;
    if (!this.#answering) this.#socket.destroySoon();
  };

  readonly #onClose = (): void => {
    this.#over = true;
    const coming = this.#coming;
    this.#coming = undefined;
    coming?.body.drop();
    if (coming) this.#settle(undefined, coming.head);
    this.#options.onClose(this);
  };
}

/** False where the connection closes before. */
function drained(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    socket.write('', (error) => {
      resolve(!error);
    });
  });
}

function ignore(): void {
  // It closes after this.
}
