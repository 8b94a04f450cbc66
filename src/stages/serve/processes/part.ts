import { once } from 'node:events';
import type { Server, Socket } from 'node:net';
import { exitCodes, MaasError } from '../../../errors.js';
import type { Repository, ServiceContext } from '../../../plugin/api.js';
import type { ProgressEvent } from '../../../plugin/events.js';
import type { SpareThread } from '../../../runtime/thread/spare-thread.js';
import type { ServeOptions } from '../config.js';
import type { Metrics } from '../metrics.js';
import { RequestError } from '../request-error.js';
import { startServing } from '../serve.js';
import { mergeCounts, printCounts } from './merge-counts.js';
import {
  packError,
  packFailure,
  type DoorName,
  type FromPart,
  type FromPrimary,
  type Question,
  type Reply,
  type Start,
} from './messages.js';

/** Milliseconds between looks at what the primary is told: whether this process is ready, and how much it has to do. */
const lookInterval = 100;

/** What this process can do by itself of what all are asked. */
export interface Abilities {
  readonly isWell: () => boolean;
  readonly metrics: Pick<Metrics, 'read'>;
  readonly repository: Repository | undefined;
}

/**
 * Serves as one of several processes, until the primary says to stop, or is gone. This process does nothing else, and ends with it.
 * @throws MaasError MAAS_USAGE where no primary has started it.
 */
export async function servePart(
  context: ServiceContext<ServeOptions>,
  spare: SpareThread | undefined,
): Promise<never> {
  const part = await Part.join();
  const stop = AbortSignal.any([context.signal, part.stopping]);
  stop.addEventListener('abort', () => {
    part.tell({ type: 'leaving' });
  });
  try {
    const running = await startServing(
      {
        ...context,
        options: part.start.options,
        signal: stop,
        emit: (event) => {
          part.emit(event);
        },
      },
      spare,
      part,
    );
    part.goUp(running);
    if (!stop.aborted) await once(stop, 'abort');
    await running.stop();
    await part.tellCounts();
    return await part.leave(exitCodes.ok);
  } catch (error) {
    part.tell({ type: 'failed', error: packError(error) });
    return part.leave(error instanceof MaasError ? error.exitCode : exitCodes.bug);
  }
}

/** One of several processes that serve the same: its end of the line to the primary, who knows the others. */
export class Part {
  readonly start: Start;
  readonly #servers = new Map<DoorName, (socket: Socket) => void>();
  readonly #asked = new Map<number, (replies: readonly Reply[]) => void>();
  /** Until this process is up, and can answer them. */
  #questions: Extract<FromPrimary, { type: 'question' }>[] | undefined = [];
  #abilities: Abilities | undefined;
  #asks = 0;
  #allReady = false;
  #wasReady = false;
  /** Connections. */
  #open = 0;
  /** Since the primary was told how many, some came or went. */
  #isOther = false;
  #events: ProgressEvent[] = [];
  readonly #stopping = new AbortController();

  private constructor(start: Start) {
    this.start = start;
    process.on('message', (message, socket) => {
      this.#hear(message as FromPrimary, socket as Socket | undefined);
    });
    // The primary was killed: nobody else would end this process.
    process.on('disconnect', () => {
      this.#stopping.abort();
    });
    if (!process.connected) this.#stopping.abort();
  }

  /** @throws MaasError MAAS_USAGE where no primary has started this process. */
  static join(): Promise<Part> {
    if (!process.connected) {
      throw new MaasError('MAAS_USAGE', 'this process was not started by one that serves', {
        hint: 'Use serve.processes, and leave --part out.',
      });
    }
    return new Promise((resolve) => {
      process.once('message', (message) => {
        resolve(new Part(message as Start));
      });
    });
  }

  /** Whether all processes are ready, as the primary knows. */
  get allReady(): boolean {
    return this.#allReady;
  }

  /** Aborted when the primary says to stop, or is gone. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Gives a server the connections that the primary has for it. */
  readonly takeHttp = (server: Server): string => {
    // node:http looks after its connections' time from here on.
    server.emit('listening');
    this.#servers.set('http', giveUpTo(server));
    this.tell({ type: 'open' });
    return this.start.url;
  };

  /** The same for gRPC. @returns host:port */
  readonly takeGrpc = (inject: (socket: Socket) => void): string => {
    this.#servers.set('grpc', inject);
    return this.start.grpc!;
  };

  /** Answers what the others ask from now on, and tells whether it is ready. */
  attend(abilities: Abilities): void {
    this.#abilities = abilities;
    setInterval(() => {
      this.#look(abilities.isWell());
      this.#weigh();
    }, lookInterval).unref();
  }

  goUp({ model, digest }: { readonly model: string; readonly digest: string }): void {
    this.#flush();
    this.#look(this.#abilities?.isWell() === true);
    this.tell({ type: 'up', model, digest });
    for (const question of this.#questions ?? []) void this.#reply(question);
    this.#questions = undefined;
  }

  emit(event: ProgressEvent): void {
    this.#events.push(event);
    if (this.#events.length === 1)
      setImmediate(() => {
        this.#flush();
      });
  }

  /** What all have counted, in the text form that Prometheus reads. */
  readonly printAll = async (): Promise<string> => {
    const replies = await this.#ask({ kind: 'metrics' });
    const counts = replies.flatMap((reply) => ('counts' in reply && reply.counts ? [reply.counts] : []));
    return printCounts(mergeCounts(counts));
  };

  /** Has all load or unload a model. @throws RequestError the first that one of them answers with */
  async order(kind: 'load' | 'unload', model: string): Promise<void> {
    const replies = await this.#ask({ kind, model });
    const bug = replies.find((reply) => 'bug' in reply);
    if (bug) throw new Error(bug.bug);
    const failures = replies.filter((reply) => 'failed' in reply);
    const [first] = failures;
    if (!first) return;
    const done = replies.length - failures.length;
    const also = done > 0 ? `; ${done} of ${replies.length} processes did ${kind} it: try again` : '';
    throw new RequestError(first.status, first.failed + also, { headers: first.headers });
  }

  /** What it counted, for the last time. */
  async tellCounts(): Promise<void> {
    const counts = await this.#abilities?.metrics.read();
    if (counts) this.tell({ type: 'counted', counts });
  }

  tell(message: FromPart): void {
    // Who is gone needs to be told nothing.
    if (process.connected) process.send!(message, undefined, {}, () => undefined);
  }

  /** Ends this process once all that it told is on its way. */
  leave(code: number): Promise<never> {
    this.#flush();
    return new Promise(() => {
      if (!process.connected) process.exit(code);
      process.send!({ type: 'events', events: [] }, undefined, {}, () => process.exit(code));
    });
  }

  #hear(message: FromPrimary, socket: Socket | undefined): void {
    switch (message.type) {
      case 'connection':
        this.#take(message.door, socket);
        break;
      case 'all-ready':
        this.#allReady = message.ready;
        break;
      case 'question':
        if (this.#questions) this.#questions.push(message);
        else void this.#reply(message);
        break;
      case 'replies':
        this.#asked.get(message.id)?.(message.replies);
        this.#asked.delete(message.id);
        break;
      case 'stop':
        this.#stopping.abort();
        break;
      case 'start':
    }
  }

  #take(door: DoorName, socket: Socket | undefined): void {
    this.tell({ type: 'taken' });
    // The caller was gone before it came.
    if (!socket) return;
    // As a server's own connections are: who sends no more may still wait for an answer.
    socket.allowHalfOpen = true;
    this.#open++;
    this.#isOther = true;
    socket.once('close', () => {
      this.#open--;
      this.#isOther = true;
    });
    this.#servers.get(door)?.(socket);
  }

  #ask(question: Question): Promise<readonly Reply[]> {
    const id = this.#asks++;
    return new Promise((resolve) => {
      this.#asked.set(id, resolve);
      this.tell({ type: 'ask', id, question });
    });
  }

  async #reply({ id, question }: Extract<FromPrimary, { type: 'question' }>): Promise<void> {
    this.tell({ type: 'reply', id, reply: await answer(question, this.#abilities!).catch(packFailure) });
  }

  #look(isReady: boolean): void {
    if (isReady === this.#wasReady) return;
    this.#wasReady = isReady;
    this.tell({ type: 'ready', ready: isReady });
  }

  #weigh(): void {
    if (!this.#isOther) return;
    this.#isOther = false;
    this.tell({ type: 'load', open: this.#open });
  }

  #flush(): void {
    if (this.#events.length > 0) this.tell({ type: 'events', events: this.#events });
    this.#events = [];
  }
}

async function answer(question: Question, { metrics, repository }: Abilities): Promise<Reply> {
  if (question.kind === 'metrics') return { counts: await metrics.read() };
  await repository?.[question.kind](question.model);
  return {};
}

function giveUpTo(server: Server): (socket: Socket) => void {
  let open = 0;
  return (socket) => {
    if (open >= server.maxConnections) {
      socket.destroy();
      return;
    }
    open++;
    socket.once('close', () => open--);
    server.emit('connection', socket);
  };
}
