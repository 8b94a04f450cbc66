import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { MaasError } from '../../../../errors.js';

/** What a program or library says it needs to be loaded. */
export interface ElfNeeds {
  /** The loader, for programs: an absolute path. */
  readonly interpreter: string | undefined;
  /** File names of libraries (DT_NEEDED), in order. */
  readonly libraries: readonly string[];
  /** e_machine: 62 is x86-64, 183 is AArch64. */
  readonly machine: number;
}

const programHeader = { load: 1, dynamic: 2, interpreter: 3 } as const;
const dynamicTag = { end: 0, needed: 1, stringTable: 5 } as const;

/**
 * Reads the needs of a 64-bit little-endian ELF file (System V ABI, chapters 4 and 5).
 * @returns undefined for files of any other kind.
 */
export function readElf(file: Buffer): ElfNeeds | undefined {
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46) return undefined;
  if (file[4] !== 2 || file[5] !== 1) return undefined;
  const number = (at: number): number => Number(file.readBigUInt64LE(at));
  const text = (at: number): string => file.toString('latin1', at, file.indexOf(0, at));
  const headers = Array.from({ length: file.readUInt16LE(56) }, (_, index) => {
    const at = number(32) + index * file.readUInt16LE(54);
    const [offset, address, size] = [number(at + 8), number(at + 16), number(at + 32)];
    return { type: file.readUInt32LE(at), offset, address, size };
  });
  const interpreter = headers.find(({ type }) => type === programHeader.interpreter);
  const dynamic = headers.find(({ type }) => type === programHeader.dynamic);
  const needed: number[] = [];
  let strings = 0;
  for (let at = dynamic?.offset ?? 0, end = at + (dynamic?.size ?? 0); at < end; at += 16) {
    const tag = number(at);
    if (tag === dynamicTag.end) break;
    if (tag === dynamicTag.needed) needed.push(number(at + 8));
    if (tag === dynamicTag.stringTable) strings = number(at + 8);
  }
  // The table is named by its address in memory; the segment that it lies in tells where that is in the file.
  const segment = headers.find(
    ({ type, address, size }) =>
      type === programHeader.load && address <= strings && strings < address + size,
  );
  const table = strings - (segment?.address ?? 0) + (segment?.offset ?? 0);
  return {
    interpreter: interpreter && text(interpreter.offset),
    libraries: needed.map((offset) => text(table + offset)),
    machine: file.readUInt16LE(18),
  };
}

const folders: Readonly<Record<number, readonly string[]>> = {
  62: ['/lib/x86_64-linux-gnu', '/usr/lib/x86_64-linux-gnu', '/lib64', '/usr/lib64', '/lib', '/usr/lib'],
  183: ['/lib/aarch64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/lib64', '/usr/lib64', '/lib', '/usr/lib'],
};

/**
 * Shared libraries of this machine that the given files load, and those that these load in turn, as their loader
 * finds them: absolute paths, sorted. A library beside the file that needs it, or among the files given, is taken as part
 * of a package.
 * @throws MaasError MAAS_RUNTIME naming a library that is not found.
 */
export async function findLibraries(files: readonly string[]): Promise<string[]> {
  const found = new Set<string>();
  const given = new Set(files.map((file) => basename(file)));
  const visit = async (path: string): Promise<void> => {
    const elf = readElf(await readFile(path));
    if (elf === undefined) return;
    const wanted = await Promise.all(
      elf.libraries.map(async (name) =>
        given.has(name) || ((await isFile(join(dirname(path), name))) && !found.has(path))
          ? []
          : [await locate(name, elf, path)],
      ),
    );
    if (elf.interpreter !== undefined) wanted.push([elf.interpreter]);
    for (const library of wanted.flat()) {
      if (found.has(library)) continue;
      found.add(library);
      await visit(library);
    }
  };
  for (const file of files) await visit(file);
  return [...found].sort();
}

async function locate(name: string, { machine }: ElfNeeds, needer: string): Promise<string> {
  for (const folder of folders[machine] ?? []) {
    if (await isFile(join(folder, name))) return join(folder, name);
  }
  throw new MaasError('MAAS_RUNTIME', `${needer} needs ${name}, which is not on this machine`, {
    hint: 'Install the library, or build the image on another machine.',
  });
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (entry) => entry.isFile(),
    () => false,
  );
}
