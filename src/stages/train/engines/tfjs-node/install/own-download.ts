import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';

/** Time for the package's own host to send its first files. In milliseconds. */
const firstAnswer = 15_000;
/** Time for all of it. */
const longest = 600_000;

/**
 * Runs the installation that the package brings: libtensorflow and the addon from the host of its makers.
 * @returns why it did not go, or undefined when it did.
 */
export async function installOwnWay(
  folder: string,
  bin: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const stalled = new AbortController();
  const timer = setTimeout(() => {
    void isEmpty(join(folder, 'deps')).then((empty) => {
      if (empty) stalled.abort();
    });
  }, firstAnswer);
  try {
    const result = await execa(process.execPath, [join('scripts', 'install.js')], {
      cwd: folder,
      localDir: bin,
      preferLocal: true,
      all: true,
      reject: false,
      timeout: longest,
      cancelSignal: AbortSignal.any([signal, stalled.signal]),
    });
    signal.throwIfAborted();
    if (stalled.signal.aborted) return `its host sent nothing for ${firstAnswer / 1000} s`;
    if (!result.failed) return undefined;
    return /^\w*Error: (.+)$/m.exec(result.all)?.[1] ?? result.shortMessage;
  } finally {
    clearTimeout(timer);
  }
}

async function isEmpty(folder: string): Promise<boolean> {
  return (await readdir(folder, { recursive: true }).catch(() => [])).length <= 1;
}
