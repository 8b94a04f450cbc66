import { Config, run, settings } from '@oclif/core';
import { findProjectPackage, pluginAdditions, refuseMissingPlugins } from './find-plugins.js';
import { createReporter } from './reporter.js';
import { asUsageError } from './usage-errors.js';

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
    const folder = findProjectPackage(argv, process.cwd());
    const config = await Config.load({
      root: new URL('bin/run.js', root).href,
      devPlugins: false,
      userPlugins: false,
      ...(folder !== undefined && { pluginAdditions: pluginAdditions(folder) }),
    });
    refuseMissingPlugins(config, folder);
    await run(argv, config);
  } catch (error) {
    const has = (flag: string) => argv.includes(flag);
    const reporter = createReporter({
      json: has('--json'),
      events: has('--events'),
      quiet: has('--quiet'),
      verbose: has('--verbose'),
    });
    process.exitCode = reporter.fail(asUsageError(error, undefined));
  }
}

/** `maas status | head -1` closes our stdout early: nobody is left to tell, so end as if all had been read. */
function endQuietlyOnClosedPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit();
    throw error;
  });
}
