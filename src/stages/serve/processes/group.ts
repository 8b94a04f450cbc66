import type { ServiceContext } from '../../../plugin/api.js';
import type { ProgressEvent } from '../../../plugin/events.js';
import { Chorus } from './chorus.js';
import { Member, type Connection } from './member.js';
import { lasting, mergeCounts } from './merge-counts.js';
import type { Counts, FromPart, Question, Reply, Start } from './messages.js';

export interface GroupOptions extends Omit<Start, 'index' | 'unloaded'> {
  readonly beside: NonNullable<ServiceContext['beside']>;
  readonly emit: (event: ProgressEvent) => void;
  /** Milliseconds after which a process that died is replaced. Default 100, and twice as many each time that it dies again at once. */
  readonly pause?: number;
}

/** What is served from the start. */
export interface First {
  readonly model: string;
  readonly digest: string;
}

/** Milliseconds that a process has to tell what it counted. */
const patience = 2000;

/** Milliseconds that a process must live to be replaced at once when it dies. */
const longLife = 10_000;

const longestPause = 10_000;

/** Starts that may fail, one after another. */
const mostFailures = 5;

/** The processes that serve: deals connections out to them, has another begin where one died, and asks all of them. */
export class Group {
  readonly chorus: Chorus;
  /** Once all are up for the first time. @throws what keeps a process from starting */
  readonly begun: Promise<First>;
  /** Rejects when they cannot go on; never resolves. */
  readonly failed: Promise<never>;
  readonly #options: GroupOptions;
  readonly #members: (Member | undefined)[] = [];
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #strikes: number[];
  readonly #unloaded = new Set<string>();
  /** Of processes that are gone. */
  #gone: Counts = [];
  #waiting: Connection[] = [];
  #turn = 0;
  #failures = 0;
  #hasBegun = false;
  #isStopping = false;
  #orders: Promise<unknown> = Promise.resolve();
  #begin!: (first: First) => void;
  #fail!: (error: Error) => void;

  constructor(options: GroupOptions) {
    this.#options = options;
    this.#strikes = new Array<number>(options.processes).fill(0);
    this.chorus = new Chorus(options.processes, options.emit);
    this.failed = new Promise((_, reject) => (this.#fail = reject));
    this.failed.catch(() => undefined);
    const begun = new Promise<First>((resolve) => (this.#begin = resolve));
    this.begun = Promise.race([begun, this.failed]);
    this.begun.catch(() => undefined);
    for (let index = 0; index < options.processes; index++) this.#start(index);
  }

  /** Gives a connection to the process that has the fewest, and to those that have as many in turn. */
  deal(connection: Connection): void {
    const up = this.#present().filter(({ isUp }) => isUp);
    // Until all is loaded there is somebody to say so; later such a process would answer what others can better.
    const able = up.length > 0 || this.#hasBegun ? up : this.#present().filter(({ isOpen }) => isOpen);
    if (able.length === 0) this.#waiting.push(connection);
    else {
      const fewest = Math.min(...able.map(({ connections }) => connections));
      const next = able.filter(({ connections }) => connections === fewest);
      next[this.#turn++ % next.length]!.give(connection);
    }
  }

  /** From now on none is ready, and none is replaced. */
  beginStop(): void {
    this.#isStopping = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#tellReady();
  }

  /** Has them answer what they have, and end. @param limit Milliseconds after which they are killed. */
  async stop(limit: number): Promise<void> {
    this.beginStop();
    for (const { socket } of this.#waiting.splice(0)) socket.destroy();
    for (const member of this.#present()) member.stop();
    const timer = setTimeout(() => {
      this.kill();
    }, limit);
    await Promise.all(this.#present().map(({ ended }) => ended));
    clearTimeout(timer);
  }

  /** At once. */
  kill(): void {
    this.#isStopping = true;
    for (const member of this.#present()) member.kill();
  }

  #present(): Member[] {
    return this.#members.filter((member) => member !== undefined);
  }

  #start(index: number): void {
    const { beside, options, url, grpc, processes } = this.#options;
    this.#members[index] = new Member({
      beside,
      options,
      url,
      grpc,
      processes,
      index,
      unloaded: [...this.#unloaded],
      onMessage: (member, message) => {
        this.#hear(member, message);
      },
      onEnd: (member, left) => {
        this.#lose(member, left);
      },
    });
  }

  #hear(member: Member, message: FromPart): void {
    switch (message.type) {
      case 'open':
        member.isOpen = true;
        this.#dealWaiting();
        break;
      case 'ready':
        member.isReady = message.ready;
        this.#tellReady();
        break;
      case 'up':
        member.isUp = member.wasUp = true;
        this.#failures = 0;
        this.#tellReady();
        this.#dealWaiting();
        if (this.#hasBegun) this.chorus.replaced(member.index);
        else this.#beginIfAll(message);
        break;
      case 'leaving':
        member.isOpen = member.isUp = false;
        this.#tellReady();
        break;
      case 'counted':
        member.counts = message.counts;
        break;
      case 'events':
        for (const event of message.events) this.chorus.hear(member.index, event);
        break;
      case 'ask':
        void this.#ask(message.question).then((replies) => {
          member.send({ type: 'replies', id: message.id, replies });
        });
        break;
      default:
    }
  }

  #beginIfAll({ model, digest }: First): void {
    if (this.#present().some(({ isUp }) => !isUp)) return;
    this.#hasBegun = true;
    this.chorus.begin();
    this.#begin({ model, digest });
  }

  #dealWaiting(): void {
    for (const connection of this.#waiting.splice(0)) this.deal(connection);
  }

  /** Over the line that connections come by: who connects from now on sees it. */
  #tellReady(): void {
    const all = this.#present();
    const ready =
      !this.#isStopping &&
      all.length === this.#options.processes &&
      all.every(({ isReady, isUp }) => isReady && isUp);
    for (const member of all) {
      if (member.toldReady === ready) continue;
      member.toldReady = ready;
      member.send({ type: 'all-ready', ready });
    }
  }

  #lose(member: Member, left: readonly Connection[]): void {
    const { index } = member;
    this.#members[index] = undefined;
    this.#gone = mergeCounts([this.#gone, lasting(member.counts)]);
    this.#tellReady();
    for (const connection of left) this.deal(connection);
    if (this.#isStopping) return;
    if (!this.#hasBegun || (!member.wasUp && ++this.#failures >= mostFailures)) {
      this.#fail(member.failure);
      return;
    }
    const strikes = performance.now() - member.began > longLife ? 0 : this.#strikes[index]! + 1;
    this.#strikes[index] = strikes;
    this.#options.emit({
      event: 'warning',
      stage: 'serve',
      text: `a serving process ended (${member.end}): another takes its place`,
    });
    this.chorus.replace(index);
    const { pause = 100 } = this.#options;
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer);
        this.#start(index);
      },
      strikes === 0 ? 0 : Math.min(longestPause, pause * 2 ** (strikes - 1)),
    );
    this.#timers.add(timer);
  }

  #ask(question: Question): Promise<readonly Reply[]> {
    if (question.kind === 'metrics') return this.#count();
    // One after another, so that all end in the same.
    const order = this.#orders.then(() => this.#order(question));
    this.#orders = order;
    return order;
  }

  async #count(): Promise<readonly Reply[]> {
    const asked = this.#present().filter(({ isUp }) => isUp);
    await Promise.all(
      asked.map(async (member) => {
        const reply = await member.ask({ kind: 'metrics' }, patience);
        // Of one that is late, what it told the last time.
        if (reply && 'counts' in reply && reply.counts) member.counts = reply.counts;
      }),
    );
    return [...this.#present().map(({ counts }) => ({ counts })), { counts: this.#gone }];
  }

  async #order(question: Exclude<Question, { kind: 'metrics' }>): Promise<readonly Reply[]> {
    const { kind, model } = question;
    // Before anybody is asked: who is started from now on is told.
    const wasUnloaded = this.#unloaded.has(model);
    if (kind === 'load') this.#unloaded.delete(model);
    else this.#unloaded.add(model);
    const replies = await Promise.all(this.#present().map((member) => member.ask(question)));
    if (kind === 'unload' && !wasUnloaded && !replies.some(isDone)) this.#unloaded.delete(model);
    return replies.map((reply) => reply ?? lost);
  }
}

const lost: Reply = {
  failed: 'a serving process ended meanwhile; try again',
  status: 503,
  headers: { 'retry-after': '1' },
};

function isDone(reply: Reply | undefined): boolean {
  return reply !== undefined && !('failed' in reply) && !('bug' in reply);
}
