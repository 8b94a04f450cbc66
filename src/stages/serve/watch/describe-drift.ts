import { RequestError } from '../request-error.js';
import type { WatchedModel } from './watch-model.js';

/**
 * What `GET /drift` answers: for each model how far what came, and what was answered, is from the training data.
 * @throws RequestError 404 where nothing is watched.
 */
export function describeDrift(models: readonly WatchedModel[]): unknown {
  const watched = models.flatMap(({ name, version, drift }) => {
    if (!drift) return [];
    const of = (kind: 'feature' | 'prediction'): unknown[] =>
      drift
        .report()
        .filter((report) => report.kind === kind)
        .map(({ kind: _kind, ...report }) => report);
    const { rows, minRows } = drift;
    const enough = rows >= minRows;
    return [{ name, version, rows, minRows, enough, features: of('feature'), predictions: of('prediction') }];
  });
  if (watched.length > 0) return { models: watched };
  throw new RequestError(
    404,
    'no model is watched for drift: serve.drift turns it on, for releases that hold a reference.json',
  );
}
