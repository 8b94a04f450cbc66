import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelSource } from '../../plugin/api.js';
import type { SpareThread } from '../../runtime/thread/spare-thread.js';
import { largestToTry } from './placement.js';

/**
 * A thread takes as long to start as all the rest: where there will be one, both at once.
 * @param workers As far as it is known yet how many there will be.
 */
export async function startSpare(
  { kind, path }: ModelSource,
  workers: number | 'auto' = 'auto',
): Promise<SpareThread | undefined> {
  if (kind === 'repository' || workers === 0) return undefined;
  const { size } = await stat(kind === 'file' ? path : join(path, 'model.onnx')).catch(() => ({ size: 0 }));
  if (workers === 'auto' && size <= largestToTry) return undefined;
  const { SpareThread } = await import('../../runtime/thread/spare-thread.js');
  return new SpareThread();
}
