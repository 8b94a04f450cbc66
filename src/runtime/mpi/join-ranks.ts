import type { MpiLibrary, Native } from './library.js';

/** The processes that train together, as MPI's world communicator has them. Calls must come in the same order everywhere. */
export interface Ranks {
  /** From 0. */
  readonly rank: number;
  readonly size: number;
  /** Puts the sum over all ranks in the place of each element, in every rank the same. */
  sum(values: Float32Array): Promise<void>;
  /** Gives what rank 0 has to all; what the others give does not matter. */
  share(bytes: Uint8Array): Promise<Uint8Array>;
  /** Ends MPI; nothing may be called after it. */
  close(): void;
}

/** Elements of one call: its count is an int. */
const most = 2 ** 28;

/**
 * Joins the world that a launcher has made.
 * @throws MaasError MAAS_ENGINE_MISSING when the library cannot be called from several threads.
 */
export function joinRanks(mpi: MpiLibrary): Ranks {
  const { inPlace, handles } = mpi;
  const { rank, size } = mpi.init();
  const call = (fn: Native, title: string, ...args: unknown[]) =>
    new Promise<void>((resolve, reject) => {
      fn.async(...args, (error: Error | null, code: number) => {
        if (error) reject(error);
        else if (code !== 0) reject(new Error(`${title} failed with ${code}`));
        else resolve();
      });
    });
  const send = async (bytes: Uint8Array): Promise<void> => {
    for (let at = 0; at < bytes.length; at += most) {
      const part = bytes.subarray(at, at + most);
      await call(mpi.broadcast, 'MPI_Bcast', part, part.length, handles.byte, 0, handles.world);
    }
  };
  return {
    rank,
    size,
    async sum(values) {
      for (let at = 0; at < values.length; at += most) {
        const part = values.subarray(at, at + most);
        const { float, sum, world } = handles;
        await call(mpi.allReduce, 'MPI_Allreduce', inPlace, part, part.length, float, sum, world);
      }
    },
    async share(bytes) {
      const length = BigUint64Array.of(BigInt(bytes.length));
      await send(new Uint8Array(length.buffer));
      const all = rank === 0 ? bytes : new Uint8Array(Number(length[0]));
      await send(all);
      return all;
    },
    close: () => {
      mpi.finalize();
    },
  };
}
