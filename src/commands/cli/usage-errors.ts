import type { Interfaces } from '@oclif/core';
import { didYouMean } from '../../suggest.js';
import { MaasError } from '../../errors.js';

interface ParseFailure extends Error {
  /** Set by oclif's parser on what it refuses. */
  readonly parse?: { readonly input?: { readonly flags?: Record<string, unknown> } };
  /** Flags that the command does not have, as they were typed. */
  readonly flags?: readonly string[];
}

/** What oclif's parser threw about the command line, as a coded error. */
export function usageError(error: unknown, commandId: string | undefined): MaasError {
  const failure = error as ParseFailure;
  const message = failure.message
    .replace(/^The following errors? occurred:\s*/, '')
    // oclif's last line points at --help; the hint does.
    .replace(/\nSee more help with --help$/, '')
    .trim();
  const help = `Run \`maas ${commandId === undefined ? '' : `${commandId} `}--help\`.`;
  return new MaasError('MAAS_USAGE', lowerFirst(message), {
    hint: [suggestFlag(failure), help].filter((part) => part !== undefined).join(' '),
    cause: error,
  });
}

export function unknownCommand(id: string, config: Interfaces.Config): MaasError {
  const known = config.commands.filter((command) => !command.hidden).map((command) => command.id);
  const words = (name: string) => name.replaceAll(':', ' ');
  const near = didYouMean(words(id), known.map(words));
  return new MaasError('MAAS_USAGE', `there is no command "${words(id)}"`, {
    hint: near ?? `There are: ${known.map(words).join(', ')}.`,
  });
}

function suggestFlag({ flags, parse }: ParseFailure): string | undefined {
  const unknown = Array.isArray(flags) ? (flags[0] as string | undefined) : undefined;
  const known = Object.keys(parse?.input?.flags ?? {}).map((name) => `--${name}`);
  return unknown?.startsWith('--') ? didYouMean(unknown, known) : undefined;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
