import { execa } from 'execa';
import { tfjsLoader } from '../../../../../runtime/load-tfjs.js';

/** A product that the library itself has to compute: 1·3 + 2·4. */
const trial = `
const tf = load(process.argv[1]);
const product = tf.matMul([[1, 2]], [[3], [4]]).dataSync()[0];
if (tf.getBackend() !== 'tensorflow' || product !== 11) throw new Error('it does not compute');
`;

/** Loads a copy of the package in a process of its own, and has it compute. @returns what is wrong with it. */
export async function tryPackage(folder: string, signal: AbortSignal): Promise<string | undefined> {
  const result = await execa(
    process.execPath,
    ['-e', `const load = ${tfjsLoader.toString()};${trial}`, folder],
    {
      reject: false,
      all: true,
      cancelSignal: signal,
      env: { TF_CPP_MIN_LOG_LEVEL: '2' },
    },
  );
  signal.throwIfAborted();
  if (!result.failed) return undefined;
  return /^\w*Error: (.+)$/m.exec(result.all)?.[1] ?? result.shortMessage;
}
