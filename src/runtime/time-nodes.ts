import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Model } from '../ir/graph.js';
import { saveModel } from '../ir/onnx/save.js';
import { openSession, type Feeds } from './session.js';

interface ProfileEvent {
  readonly cat?: string;
  readonly name?: string;
  /** In microseconds. */
  readonly dur?: number;
}

const ending = '_kernel_time';

/**
 * How long each node takes, in microseconds: the median of `runs`, as the graph is written, without what onnxruntime would
 * make of neighbours.
 * @param model Its nodes have names, no two the same.
 * @throws MaasError MAAS_MODEL_INVALID when onnxruntime refuses the model, MAAS_DISK when there is no room for it.
 */
export async function timeNodes(model: Model, feeds: Feeds, runs: number): Promise<Map<string, number>> {
  const folder = await mkdtemp(join(tmpdir(), 'maas-profile-'));
  try {
    const path = join(folder, 'model.onnx');
    await saveModel(model, path);
    const session = await openSession(path, { optimization: 'disabled', profile: join(folder, 'times') });
    try {
      for (let run = 0; run <= runs; run++) await session.run(feeds);
    } finally {
      session.endProfile();
      await session.close();
    }
    const file = (await readdir(folder)).find((name) => name.startsWith('times') && name.endsWith('.json'));
    const events = JSON.parse(await readFile(join(folder, file!), 'utf8')) as ProfileEvent[];
    const durations = new Map<string, number[]>();
    for (const { cat, name = '', dur = 0 } of events) {
      if (cat !== 'Node' || !name.endsWith(ending)) continue;
      const node = name.slice(0, -ending.length);
      durations.set(node, [...(durations.get(node) ?? []), dur]);
    }
    // The first run finds nothing warm.
    return new Map([...durations].map(([node, all]) => [node, medianOf(all.slice(1))]));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function medianOf(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}
