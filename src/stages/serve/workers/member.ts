import { MaasError } from '../../../errors.js';
import { tensorsOf, type Feeds, type SessionOptions, type Slots } from '../../../runtime/session.js';
import { SessionThread, ThreadLost, type ThreadSession } from '../../../runtime/thread/session-thread.js';
import { allocate, type NdArray, type NumericDType, type TypedArray } from '../../../ir/tensor.js';
import type { Outputs } from '../batcher.js';
import { WorkerLost } from '../request-error.js';
import type { SpareThread } from '../../../runtime/thread/spare-thread.js';

/** What a worker is started with. */
export interface WorkerSetup {
  /** Bytes of the model; its path when it has external data. */
  readonly model: Uint8Array | string;
  readonly session: SessionOptions;
  /** The same model as it was prepared for this processor; where it does not open, `model` does. */
  readonly prepared?: string | undefined;
  /** Outputs that are wanted; undefined for all tensors that it gives. */
  readonly fetches: readonly string[] | undefined;
}

/** One worker thread with the model open in it. Takes one run at a time. */
export class Member {
  readonly #thread: SessionThread;
  readonly #session: ThreadSession;
  readonly #fetches: readonly string[];
  #abandoned: string | undefined;
  /** Memory by the input that it was for: it comes back from each run, to be filled again. */
  readonly #spare = new Map<string, TypedArray[]>();

  private constructor(thread: SessionThread, session: ThreadSession, fetches: readonly string[]) {
    this.#thread = thread;
    this.#session = session;
    this.#fetches = fetches;
  }

  /** @throws MaasError MAAS_MODEL_INVALID when the runtime refuses the model, MAAS_RUNTIME when the thread dies. */
  static async open(
    entry: URL | undefined,
    { model, prepared, session: options, fetches }: WorkerSetup,
    onLost: (reason: string) => void,
    spare?: SpareThread,
  ): Promise<Member> {
    let up = false;
    const thread = spare?.take() ?? new SessionThread({ ...(entry && { entry }) });
    thread.onLost = (reason) => {
      if (up) onLost(reason);
    };
    try {
      const session = await (prepared === undefined
        ? thread.open(model, options)
        : thread.open(prepared, { ...options, optimization: 'disabled' }).catch((error: unknown) => {
            if (error instanceof ThreadLost) throw error;
            return thread.open(model, options);
          }));
      up = true;
      return new Member(thread, session, fetches ?? tensorsOf(session.slots));
    } catch (error) {
      await thread.close();
      if (!(error instanceof ThreadLost)) throw error;
      throw new MaasError('MAAS_RUNTIME', `the model's worker thread does not start: ${error.message}`);
    }
  }

  get slots(): Slots {
    return this.#session.slots;
  }

  /**
   * `owned` arrays are the callee's to give away. Rows that are `apart` do not depend on each other.
   * @throws WorkerLost when the thread dies meanwhile.
   */
  async run(feeds: Feeds, owned: boolean, apart = false): Promise<Outputs> {
    try {
      const options = { fetches: this.#fetches, apart };
      if (owned || !isLarge(feeds)) return await this.#session.run(feeds, { ...options, owned });
      const { arrays, returned } = await this.#session.runLent(this.#copy(feeds), options);
      for (const [name, { data }] of Object.entries(returned))
        this.#spare.get(name)!.push(data as TypedArray);
      return arrays;
    } catch (error) {
      if (!(error instanceof ThreadLost)) throw error;
      throw new WorkerLost(this.#abandoned ?? `the model's worker died: ${error.message}`);
    }
  }

  /** Into memory that was used before: fresh memory for each large request is slower, and makes V8 collect garbage. */
  #copy(feeds: Feeds): Feeds {
    return Object.fromEntries(
      Object.entries(feeds).map(([name, { dtype, dims, data }]): [string, NdArray] => {
        let spares = this.#spare.get(name);
        if (!spares) this.#spare.set(name, (spares = []));
        const spare = spares.pop();
        const room = (spare && resize(spare, data.length)) ?? allocate(dtype as NumericDType, data.length);
        room.set(data as never);
        return [name, { dtype, dims, data: room as never }];
      }),
    );
  }

  /** Gives up on a run that does not end. */
  abandon(reason: string): void {
    this.#abandoned = reason;
    this.#thread.abandon(reason);
  }

  /** Ends the thread once it is done with what it does. */
  close(): Promise<void> {
    return this.#thread.close();
  }
}

/** Inputs of fewer bytes are posted as they are. */
const large = 2 ** 17;

/** True for numbers of some size; text has no memory to be used again. */
function isLarge(feeds: Feeds): boolean {
  let bytes = 0;
  for (const { data } of Object.values(feeds)) {
    if (!ArrayBuffer.isView(data)) return false;
    bytes += data.byteLength;
  }
  return bytes >= large;
}

/** So many elements in the same memory; undefined where it is too small, or far too large. */
function resize(array: TypedArray, length: number): TypedArray | undefined {
  const room = array.buffer.byteLength / array.BYTES_PER_ELEMENT;
  if (length > room || 4 * length < room) return undefined;
  return new (array.constructor as new (buffer: ArrayBufferLike, at: number, length: number) => TypedArray)(
    array.buffer,
    0,
    length,
  );
}
