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
