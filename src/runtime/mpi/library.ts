import { MaasError } from '../../errors.js';

/** The MPIs whose libraries are known here. */
export type MpiName = 'openmpi' | 'mpich';

/** A function of the library: called at once, or in a thread of its own. */
export type Native = ((...args: unknown[]) => number) & { async(...args: unknown[]): void };

/** MPI_THREAD_MULTIPLE: calls come from threads of koffi's. */
const threadMultiple = 3;

/** Room for the text of MPI_Get_library_version, in bytes; Open MPI asks for 256, MPICH for 8192. */
const versionRoom = 8192;

/** RTLD_NOW, RTLD_GLOBAL and RTLD_NODELETE (dlfcn.h). */
const stay = { linux: 0x2 | 0x100 | 0x1000, darwin: 0x2 | 0x8 | 0x80 } as const;

interface Flavour {
  readonly title: string;
  /** File of the library, by platform. */
  readonly file: { readonly darwin: string; readonly linux: string };
  /** How the C headers declare a handle: what stands before its name. */
  readonly handle: string;
  /** MPI_IN_PLACE. */
  readonly inPlace: bigint;
  /** Symbols whose addresses are the handles, or the handles themselves. */
  readonly handles: Readonly<Record<'world' | 'float' | 'byte' | 'sum', string | number>>;
  readonly packages: string;
}

/** As their headers (mpi.h) have it: Open MPI's handles are addresses of exported data, MPICH's are numbers. */
const flavours: Readonly<Record<MpiName, Flavour>> = {
  openmpi: {
    title: 'Open MPI',
    file: { darwin: 'libmpi.dylib', linux: 'libmpi.so.40' },
    handle: 'void *',
    inPlace: 1n,
    handles: {
      world: 'ompi_mpi_comm_world',
      float: 'ompi_mpi_float',
      byte: 'ompi_mpi_byte',
      sum: 'ompi_mpi_op_sum',
    },
    packages: '`apt-get install openmpi-bin`, `dnf install openmpi`, `brew install open-mpi`',
  },
  mpich: {
    title: 'MPICH',
    file: { darwin: 'libmpi.12.dylib', linux: 'libmpich.so.12' },
    handle: 'int ',
    inPlace: -1n,
    handles: { world: 0x44000000, float: 0x4c00040a, byte: 0x4c00010d, sum: 0x58000003 },
    packages: '`apt-get install mpich`, `dnf install mpich`, `brew install mpich`',
  },
};

/** What is called of MPI, with the library's handles. */
export interface MpiLibrary {
  readonly inPlace: bigint;
  readonly handles: Readonly<Record<'world' | 'float' | 'byte' | 'sum', unknown>>;
  readonly allReduce: Native;
  readonly broadcast: Native;
  /** `Open MPI v4.1.4, …`; may be asked at any time. */
  version(): string;
  /** Begins MPI; gives this process's number and how many there are. */
  init(): { readonly rank: number; readonly size: number };
  finalize(): void;
}

/**
 * Loads MPI's own library; once in a process.
 * @throws MaasError MAAS_ENGINE_MISSING when the library, or the package that calls it, is not there.
 */
export async function loadMpi(name: MpiName): Promise<MpiLibrary> {
  const { default: koffi } = await import('koffi').catch((cause: unknown) => {
    throw missing('the npm package koffi is not installed', 'Run `npm install koffi`.', cause);
  });
  const { title, file, handle, inPlace, handles, packages } = flavours[name];
  const hint = installHint(name);
  // 128 KiB, the default, is too little for MPI.
  koffi.config({ async_stack_size: 4 << 20 });
  const path = process.platform === 'darwin' ? file.darwin : file.linux;
  let library: ReturnType<typeof koffi.load>;
  try {
    library = koffi.load(path, { global: true });
    // koffi unloads it when Node.js ends, and then threads end that still clean up with its code: it has to stay.
    const open = koffi.load(null).func('void *dlopen(const char *path, int flags)') as unknown as Native;
    open(path, stay[process.platform === 'darwin' ? 'darwin' : 'linux']);
  } catch (cause) {
    throw missing(`the library of ${title} (${path}) is not there`, `Install it: ${packages}.`, cause);
  }
  const declare = (declaration: string) =>
    library.func(declaration.replaceAll('HANDLE ', handle)) as unknown as Native;
  const getVersion = declare('int MPI_Get_library_version(_Out_ uint8_t *text, _Out_ int *length)');
  const init = declare('int MPI_Init_thread(void *argc, void *argv, int required, _Out_ int *provided)');
  const commRank = declare('int MPI_Comm_rank(HANDLE comm, _Out_ int *rank)');
  const commSize = declare('int MPI_Comm_size(HANDLE comm, _Out_ int *size)');
  const finalize = declare('int MPI_Finalize()');
  const resolved = Object.fromEntries(
    Object.entries(handles).map(([key, value]) => [
      key,
      typeof value === 'string' ? library.symbol(value) : value,
    ]),
  ) as MpiLibrary['handles'];
  return {
    inPlace,
    handles: resolved,
    allReduce: declare(
      'int MPI_Allreduce(intptr_t send, void *buffer, int count, HANDLE type, HANDLE op, HANDLE comm)',
    ),
    broadcast: declare('int MPI_Bcast(void *buffer, int count, HANDLE type, int root, HANDLE comm)'),
    version() {
      const text = Buffer.alloc(versionRoom);
      const length = [0];
      getVersion(text, length);
      return text.toString('utf8', 0, length[0]).split('\n')[0]!.replaceAll('\0', '').trim();
    },
    init() {
      const given = [0];
      if (init(null, null, threadMultiple, given) !== 0 || given[0]! < threadMultiple) {
        throw missing(`this ${title} was built without threads (MPI_THREAD_MULTIPLE)`, hint);
      }
      const [rank, size] = [[0], [0]];
      commRank(resolved.world, rank);
      commSize(resolved.world, size);
      return { rank: rank[0]!, size: size[0]! };
    },
    finalize: () => {
      finalize();
    },
  };
}

export function titleOf(name: MpiName): string {
  return flavours[name].title;
}

export function installHint(name: MpiName): string {
  return `Install ${flavours[name].title}: ${flavours[name].packages}.`;
}

function missing(message: string, hint: string, cause?: unknown): MaasError {
  return new MaasError('MAAS_ENGINE_MISSING', `cannot train on several processes: ${message}`, {
    hint,
    cause,
  });
}
