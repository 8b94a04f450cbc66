import { readFile } from 'node:fs/promises';
import { arch, cpus } from 'node:os';

/** Instruction sets that decide how fast integer and float kernels are. */
const decisive = /^(avx|avx2|avx512f|avx512_vnni|avx_vnni|avx_vnni_int8|amx_int8|asimddp|i8mm|sve|sve2)$/;

/** The processor, as far as it decides how two models compare in speed. */
export async function describeCpu(): Promise<{ arch: string; model: string; features: string[] }> {
  return { arch: arch(), model: cpus()[0]?.model.trim() ?? 'unknown', features: await readFeatures() };
}

/** Linux tells them; elsewhere the model's name must do. */
async function readFeatures(): Promise<string[]> {
  let info: string;
  try {
    info = await readFile('/proc/cpuinfo', 'utf8');
  } catch {
    return [];
  }
  const line = /^(?:flags|Features)\s*:(.*)$/m.exec(info)?.[1] ?? '';
  return [...new Set(line.split(/\s+/).filter((flag) => decisive.test(flag)))].sort();
}

/** Kinds of processors that want integers in different ways. */
export const instructionSets = ['avx2', 'avx512-vnni', 'arm64'] as const;
export type InstructionSet = (typeof instructionSets)[number];

/**
 * What a processor multiplies integers with. One with AVX-VNNI alone counts as `avx512-vnni`: it adds up products in 32 bits too.
 * @returns undefined where it cannot be told.
 */
export function instructionSetOf({
  arch: kind,
  features,
}: {
  readonly arch: string;
  readonly features: readonly string[];
}): InstructionSet | undefined {
  if (kind === 'arm64') return 'arm64';
  if (kind !== 'x64' || features.length === 0) return undefined;
  return features.some((name) => name === 'avx512_vnni' || name === 'avx_vnni') ? 'avx512-vnni' : 'avx2';
}

/** This machine's. */
export async function readInstructionSet(): Promise<InstructionSet | undefined> {
  return instructionSetOf(await describeCpu());
}

/**
 * What to expect of a model on a processor that it was not compressed for; undefined where there is nothing to say.
 * @param madeFor As the manifest says, which may be older than maas.
 */
export function describeMisfit(madeFor: unknown, here: InstructionSet | undefined): string | undefined {
  if (typeof madeFor !== 'string' || here === undefined || madeFor === here) return undefined;
  // Pairs of products are added up in 16 bits there, which 8-bit integers may overflow.
  const risk =
    here === 'avx2'
      ? 'its integers may overflow, and it may be slower than measured'
      : 'it may be slower than measured';
  return `the model was compressed for ${madeFor}, and this processor is ${here}: ${risk}. Compress it with --target ${here}`;
}
