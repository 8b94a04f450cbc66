import { MaasError } from '../../errors.js';
import { joinRanks, type Ranks } from './join-ranks.js';
import { loadMpi, type MpiName } from './library.js';

/** What an outer launcher says of this process. */
export interface Membership {
  /** From 0. */
  readonly rank: number;
  readonly size: number;
  /** The launcher, for people. */
  readonly launcher: string;
}

/** Milliseconds between the end of a failed command and that of its process. */
const grace = 3000;

/**
 * Processes that mpirun, srun or another launcher has started alike. Rank 0 does what was asked for; the others wait until
 * it calls them, once, or lets them go.
 */
export class World {
  #state: 'apart' | 'together' | 'ended' = 'apart';

  constructor(
    readonly member: Membership,
    private readonly mpi: MpiName,
  ) {}

  /** For rank 0: calls the others with what they need to know, a value of JSON. */
  async call(message: unknown): Promise<Ranks> {
    const ranks = await this.#join();
    await ranks.share(Buffer.from(JSON.stringify({ message })));
    this.#state = 'together';
    return ranks;
  }

  /** For the others: what rank 0 calls them with; undefined when it has no work for them. */
  async listen(): Promise<{ readonly ranks: Ranks; readonly message: unknown }> {
    const ranks = await this.#join();
    const { message } = JSON.parse(Buffer.from(await ranks.share(new Uint8Array())).toString()) as {
      readonly message?: unknown;
    };
    return { ranks, message };
  }

  /** For all, after the work that they were called for. */
  end(ranks: Ranks): void {
    ranks.close();
    this.#state = 'ended';
  }

  /**
   * For rank 0, at the end of its command: lets the others go that it has not called. Where the work went wrong, the
   * launcher ends them all as soon as this process is gone, which may hang in a call of MPI: it is ended by force.
   */
  async dismiss(): Promise<void> {
    if (this.#state === 'together') setTimeout(() => process.kill(process.pid, 'SIGKILL'), grace).unref();
    if (this.#state !== 'apart') return;
    const ranks = await this.#join();
    await ranks.share(Buffer.from('{}'));
    this.end(ranks);
  }

  /** @throws MaasError MAAS_RANKS_FAILED when MPI's world is another than the launcher's. */
  async #join(): Promise<Ranks> {
    const ranks = joinRanks(await loadMpi(this.mpi));
    const { size, launcher } = this.member;
    if (ranks.size === size) return ranks;
    // A library of another MPI is alone in a world of its own.
    throw new MaasError(
      'MAAS_RANKS_FAILED',
      `${launcher} has started ${size} ranks, and MPI has ${ranks.size}`,
      {
        hint:
          launcher === 'srun'
            ? 'Start them by `srun --mpi=pmix`, or as `srun --mpi=list` names it for your MPI.'
            : 'The launcher and the library are of different MPIs: see train.distributed.launcher.',
      },
    );
  }
}
