import { MaasError } from '../errors.js';

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

/** A function of the library: called at once, or in a thread of its own. */
type Native = ((...args: unknown[]) => number) & { async(...args: unknown[]): void };

/** Elements of one call: its count is an int. */
const most = 2 ** 28;

/** MPI_IN_PLACE of Open MPI (mpi.h). */
const inPlace = 1n;

/** MPI_THREAD_MULTIPLE: calls come from threads of koffi's. */
const threadMultiple = 3;

/**
 * Joins the world that mpirun has made, through Open MPI's own library: its handles are addresses of symbols.
 * @throws MaasError MAAS_ENGINE_MISSING when the library, or the package that calls it, is not there.
 */
export async function joinRanks(): Promise<Ranks> {
  const { default: koffi } = await import('koffi').catch((cause: unknown) => {
    throw missing('the npm package koffi is not installed', 'Run `npm install koffi`.', cause);
  });
  // 128 KiB, the default, is too little for MPI.
  koffi.config({ async_stack_size: 4 << 20 });
  let library: ReturnType<typeof koffi.load>;
  try {
    library = koffi.load(process.platform === 'darwin' ? 'libmpi.dylib' : 'libmpi.so.40', { global: true });
  } catch (cause) {
    throw missing("Open MPI's library (libmpi.so.40) is not there", installHint, cause);
  }
  const declare = (declaration: string) => library.func(declaration) as unknown as Native;
  const init = declare('int MPI_Init_thread(void *argc, void *argv, int required, _Out_ int *provided)');
  const commRank = declare('int MPI_Comm_rank(void *comm, _Out_ int *rank)');
  const commSize = declare('int MPI_Comm_size(void *comm, _Out_ int *size)');
  const allReduce = declare(
    'int MPI_Allreduce(intptr_t send, void *buffer, int count, void *type, void *op, void *comm)',
  );
  const broadcast = declare('int MPI_Bcast(void *buffer, int count, void *type, int root, void *comm)');
  const finalize = declare('int MPI_Finalize()');
  const handle = (name: string): unknown => library.symbol(name);
  const [world, float, byte, add] = [
    'ompi_mpi_comm_world',
    'ompi_mpi_float',
    'ompi_mpi_byte',
    'ompi_mpi_op_sum',
  ].map(handle);

  const given = [0];
  if (init(null, null, threadMultiple, given) !== 0 || given[0]! < threadMultiple) {
    throw missing('this Open MPI was built without threads (MPI_THREAD_MULTIPLE)', installHint);
  }
  const [rank, size] = [[0], [0]];
  commRank(world, rank);
  commSize(world, size);
  const call = (fn: Native, name: string, ...args: unknown[]) =>
    new Promise<void>((resolve, reject) => {
      fn.async(...args, (error: Error | null, code: number) => {
        if (error) reject(error);
        else if (code !== 0) reject(new Error(`${name} failed with ${code}`));
        else resolve();
      });
    });
  const send = async (bytes: Uint8Array): Promise<void> => {
    for (let at = 0; at < bytes.length; at += most) {
      const part = bytes.subarray(at, at + most);
      await call(broadcast, 'MPI_Bcast', part, part.length, byte, 0, world);
    }
  };
  return {
    rank: rank[0]!,
    size: size[0]!,
    async sum(values) {
      for (let at = 0; at < values.length; at += most) {
        const part = values.subarray(at, at + most);
        await call(allReduce, 'MPI_Allreduce', inPlace, part, part.length, float, add, world);
      }
    },
    async share(bytes) {
      const length = BigUint64Array.of(BigInt(bytes.length));
      await send(new Uint8Array(length.buffer));
      const all = rank[0] === 0 ? bytes : new Uint8Array(Number(length[0]));
      await send(all);
      return all;
    },
    close: () => {
      finalize();
    },
  };
}

const installHint =
  'Install Open MPI: `apt-get install openmpi-bin`, `dnf install openmpi`, `brew install open-mpi`.';

function missing(message: string, hint: string, cause?: unknown): MaasError {
  return new MaasError('MAAS_ENGINE_MISSING', `cannot train on several processes: ${message}`, {
    hint,
    cause,
  });
}
