import { fileURLToPath } from 'node:url';
import { run, settings } from '@oclif/core';
import { createReporter } from './reporter.js';

/**
 * Runs the command line of this process. `root` is the URL of the package's folder.
 * Errors of commands are reported by the commands; what ends up here went wrong before one was started.
 */
export async function execute(root: string): Promise<void> {
  // Never look for a project's TypeScript loader: it costs time, and dist is what runs.
  settings.enableAutoTranspile = false;
  endQuietlyOnClosedPipe();
  const words = process.argv.slice(2);
  const argv = words[0] === 'help' ? [...words.slice(1), '--help'] : words;
  try {
    // Plugins are what the config lists, and nothing that lies about on the machine.
    await run(argv, { root: fileURLToPath(root), devPlugins: false, userPlugins: false });
  } catch (error) {
    const reporter = createReporter({
      json: argv.includes('--json'),
      events: argv.includes('--events'),
      quiet: argv.includes('--quiet'),
      verbose: argv.includes('--verbose'),
    });
    process.exitCode = reporter.fail(error);
  }
}

/** `maas status | head -1` closes our stdout early: nobody is left to tell, so end as if all had been read. */
function endQuietlyOnClosedPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit();
    throw error;
  });
}
