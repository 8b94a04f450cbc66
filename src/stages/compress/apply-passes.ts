import type { Json } from '../../artifacts/index.js';
import type { Named } from '../../config/named.js';
import type { Model } from '../../ir/graph.js';
import type { Pass, PassContext } from '../../plugin/api.js';
import type { PassRecord } from './report.js';

/** Runs one pass over a model. */
export async function applyPass(
  model: Model,
  { name, options }: Named,
  passes: ReadonlyMap<string, Pass>,
  context: PassContext,
): Promise<{ model: Model; record: PassRecord }> {
  const pass = passes.get(name)!;
  const { model: after, report } = await pass.run(model, options, context);
  return { model: after, record: { name, version: pass.version, options: options as Json, ...report } };
}
