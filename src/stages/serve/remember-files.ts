import { stat } from 'node:fs/promises';
import { MaasError } from '../../errors.js';

/**
 * Remembers how files are now. What it returns throws once one of them is another: a worker that opens a model later than the
 * others did must not answer in its name with one that was put in its place meanwhile.
 * @throws MaasError MAAS_MODEL_INVALID from what it returns.
 */
export async function rememberFiles(paths: readonly string[]): Promise<() => Promise<void>> {
  const before = await Promise.all(paths.map(look));
  return async () => {
    for (const [index, path] of paths.entries()) {
      const now = await look(path);
      // One that is gone cannot have been opened.
      if (now === undefined || now === before[index]) continue;
      throw new MaasError('MAAS_MODEL_INVALID', `${path} has changed since the model was loaded`, {
        place: { file: path },
        hint: 'Load the model again, or start the server again.',
      });
    }
  };
}

/** Which file it is, and what is in it. A further link to it, or other rights, change neither. */
async function look(path: string): Promise<string | undefined> {
  try {
    const { ino, size, mtimeMs } = await stat(path);
    return `${ino} ${size} ${mtimeMs}`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
