// The process of `prepare`.
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { loadModel } from '../../ir/onnx/load.js';
import { isFileRange } from '../../ir/tensor.js';
import { openSession } from '../session.js';
import { alignWeights } from './align.js';
import { fileNames, isAlive, stateOf, contentsOf, type Facts } from './place.js';
import { scratchOf, type PrepareOrder, type PrepareReport } from './prepare.js';

/** Milliseconds that something lies about which nobody asks for. */
const patience = 30 * 24 * 3600 * 1000;

process.once('message', (order: PrepareOrder) => {
  void prepare(order).then(
    () => process.send!({}),
    (error: unknown) => process.send!(describe(error)),
  );
});

/** What the system says, of a full disk for instance, need not be so the next time. */
function describe(error: unknown): PrepareReport {
  const { message, code = '' } = error as NodeJS.ErrnoException;
  return { failed: message, lasting: !/^E[A-Z]+$/.test(code) };
}

// Nobody is left to use it now.
process.once('disconnect', () => process.exit());

async function prepare({ path, place, requests }: PrepareOrder): Promise<void> {
  const { graph } = await loadModel(path);
  const ranges = [...graph.initializers.values()].flatMap(({ data }) =>
    isFileRange(data) ? [data.path] : [],
  );
  const sources = await Promise.all([...new Set([path, ...ranges])].map(stateOf));
  await tidy(dirname(place));
  const scratch = scratchOf(place, process.pid);
  await mkdir(scratch, { recursive: true });
  const [raw, rawWeights] = [join(scratch, 'raw.onnx'), join(scratch, 'raw.data')];
  const session = await openSession(path, { saveTo: { model: raw, weights: basename(rawWeights) } });
  const model = await alignWeights(await readFile(raw), {
    from: rawWeights,
    to: join(scratch, fileNames.weights),
    name: fileNames.weights,
  });
  await writeFile(join(scratch, fileNames.model), model);
  await rm(raw);
  await rm(rawWeights);
  // On trial here, where nothing else dies with it.
  const prepared = await openSession(join(scratch, fileNames.model), { optimization: 'disabled' });
  for (const feeds of requests) {
    if (!isDeepStrictEqual(await prepared.run(feeds), await session.run(feeds)))
      throw new Error('the prepared model does not give the same answers');
  }
  const facts: Facts = { sources, weights: await contentsOf(join(scratch, fileNames.weights)) };
  await writeFile(join(scratch, fileNames.facts), JSON.stringify(facts));
  for (const name of [fileNames.model, fileNames.facts]) await sync(join(scratch, name));
  if (!isDeepStrictEqual(await Promise.all(sources.map((source) => stateOf(source.path))), sources))
    throw Object.assign(new Error('the model changed meanwhile'), { code: 'ESTALE' });
  await rm(place, { recursive: true, force: true });
  // Another process may have been first with the same.
  await rename(scratch, place).catch((error: unknown) => {
    if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  });
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Removes what processes that died have left, and what nobody has asked for in a long time. */
async function tidy(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const path = join(folder, name);
    const [, pid] = /\.(\d+)$/.exec(name) ?? [];
    const since = Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now());
    if (pid === undefined ? since > patience : !isAlive(Number(pid)))
      await rm(path, { recursive: true, force: true });
  }
}
