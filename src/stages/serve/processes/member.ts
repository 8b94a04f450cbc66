import { fork, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { MaasError } from '../../../errors.js';
import type { ServiceContext } from '../../../plugin/api.js';
import {
  unpackError,
  type Counts,
  type DoorName,
  type FromPart,
  type FromPrimary,
  type Question,
  type Reply,
  type Start,
} from './messages.js';

export interface Connection {
  readonly door: DoorName;
  readonly socket: Socket;
}

export interface MemberOptions extends Start {
  readonly beside: NonNullable<ServiceContext['beside']>;
  readonly onMessage: (member: Member, message: FromPart) => void;
  /** Told once it is gone, with the connections that it was not given yet. */
  readonly onEnd: (member: Member, left: readonly Connection[]) => void;
}

/** One of the processes that serve, as the primary sees it. */
export class Member {
  readonly index: number;
  /** It takes connections. */
  isOpen = false;
  /** It has loaded what is to be served. */
  isUp = false;
  wasUp = false;
  isReady = false;
  /** What it was told of all. */
  toldReady = false;
  /** Open, of those that it had taken when it last told. */
  #open = 0;
  /** Taken since then. */
  #taken = 0;
  /** As it last told. */
  counts: Counts = [];
  readonly began = performance.now();
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  readonly #replies = new Map<number, (reply: Reply | undefined) => void>();
  #asks = 0;
  #waiting: Connection[] = [];
  /** It has not said yet that it has this one. */
  #given: Connection | undefined;
  #isStopping = false;
  #failure: Error | undefined;
  #end = 'it could not be started';

  constructor({ beside, onMessage, onEnd, ...start }: MemberOptions) {
    this.index = start.index;
    const child = (this.#child = fork(beside.script, beside.args, {
      serialization: 'advanced',
      // stdout is the primary's.
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    }));
    this.ended = new Promise((resolve) => {
      const end = (): void => {
        this.isOpen = this.isUp = this.isReady = false;
        for (const settle of this.#replies.values()) settle(undefined);
        this.#replies.clear();
        // A process says that it has a connection before it reads from it.
        onEnd(this, this.#given ? [this.#given, ...this.#waiting] : this.#waiting);
        resolve();
      };
      child.on('error', (error) => {
        if (child.pid !== undefined) return;
        this.#end = error.message;
        end();
      });
      child.once('exit', (code, signal) => {
        this.#end = signal ?? `exit code ${code}`;
        // What it said last is heard first.
        if (child.connected) child.once('disconnect', end);
        else end();
      });
    });
    child.on('message', (message: FromPart) => {
      if (message.type === 'reply') {
        this.#replies.get(message.id)?.(message.reply);
        this.#replies.delete(message.id);
      } else if (message.type === 'taken') {
        this.#taken++;
        this.#giveNext();
      } else if (message.type === 'load') {
        this.#open = message.open;
        this.#taken = 0;
      } else if (message.type === 'failed') this.#failure = unpackError(message.error);
      else onMessage(this, message);
    });
    this.send({ type: 'start', ...start });
  }

  /** Connections that it has, and is to have. */
  get connections(): number {
    return this.#open + this.#taken + this.#waiting.length + (this.#given ? 1 : 0);
  }

  /** How it ended. */
  get end(): string {
    return this.#end;
  }

  /** Why it could not start. */
  get failure(): Error {
    const text = `a serving process ended before it was ready (${this.#end})`;
    return this.#failure ?? new MaasError('MAAS_SERVER', text, { hint: 'What it wrote itself tells more.' });
  }

  /** One after another: what it was not given when it ends, another can be. */
  give(connection: Connection): void {
    this.#waiting.push(connection);
    if (!this.#given) this.#giveNext();
  }

  send(message: FromPrimary): void {
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }

  /** @param limit In milliseconds. @returns Nothing when it is late, or ends meanwhile. */
  ask(question: Question, limit?: number): Promise<Reply | undefined> {
    const id = this.#asks++;
    return new Promise((resolve) => {
      const timer =
        limit === undefined
          ? undefined
          : setTimeout(() => {
              this.#replies.delete(id);
              resolve(undefined);
            }, limit);
      this.#replies.set(id, (reply) => {
        clearTimeout(timer);
        resolve(reply);
      });
      this.send({ type: 'question', id, question });
    });
  }

  /** Says to stop, once it has what was given to it. */
  stop(): void {
    if (!this.#given) this.send({ type: 'stop' });
    this.#isStopping = true;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #giveNext(): void {
    // The process has it now: what is closed is its double here.
    this.#given?.socket.destroy();
    const next = (this.#given = this.#child.connected ? this.#waiting.shift() : undefined);
    if (next) {
      // Were it not kept open, nobody would close it where the process dies before it has it.
      this.#child.send(
        { type: 'connection', door: next.door },
        next.socket,
        { keepOpen: true },
        () => undefined,
      );
    } else if (this.#isStopping) this.send({ type: 'stop' });
  }
}
