import type { ProgressOutput } from './run-tasks.js';

/** Shows one thing that takes a while, where there is no tree: a spinner on a terminal, a line elsewhere. */
export async function withSpinner<T>(
  text: string,
  output: ProgressOutput,
  work: () => Promise<T>,
): Promise<T> {
  if (output.mode === 'silent') return work();
  if (output.mode === 'lines') {
    output.stream.write(`${text} …\n`);
    return work();
  }
  const { default: ora } = await import('ora');
  // stdin stays ours: ora would otherwise swallow Ctrl-C while it spins.
  const spinner = ora({ text, stream: output.stream, discardStdin: false }).start();
  try {
    const result = await work();
    spinner.succeed();
    return result;
  } catch (error) {
    spinner.fail();
    throw error;
  }
}
