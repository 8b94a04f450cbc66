import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { MaasError } from '../errors.js';
import { joinErrors } from './join-errors.js';
import type { Environment } from './interpolate.js';
import { unresolvedIn, type Located } from './located.js';
import { locate } from './locate.js';
import { override } from './override.js';
import { parseYaml } from './parse-yaml.js';
import { SourceText } from './source-text.js';

export interface ReadOptions {
  /** Absolute path of the config file. */
  readonly file: string;
  /** `--set` arguments, in order: later ones win. */
  readonly set?: readonly string[];
  readonly env: Environment;
  /** A file that is not there says nothing. */
  readonly optional?: boolean | undefined;
}

/**
 * The config file as values that know their place, with `--set` and environment variables filled in; not yet validated.
 * @throws MaasError MAAS_CONFIG_MISSING, MAAS_DISK, MAAS_CONFIG_SYNTAX, MAAS_CONFIG_INVALID, MAAS_CONFIG_ENV, MAAS_USAGE.
 */
export async function readConfig({ file, set = [], env, optional }: ReadOptions): Promise<Located> {
  const bytes = await readBytes(file).catch((error: unknown) => {
    if (optional && error instanceof MaasError && error.code === 'MAAS_CONFIG_MISSING')
      return Buffer.from('{}');
    throw error;
  });
  const source = new SourceText(file, decode(bytes, file));
  const document = parseYaml(source);
  if (document.contents === null) {
    throw new MaasError('MAAS_CONFIG_INVALID', 'the config file is empty', {
      place: { file },
      hint: 'Run `maas init DIR` for a project to start from.',
    });
  }
  const root = set.reduce(override, locate(document, { source, env }));
  const unresolved = unresolvedIn(root);
  if (unresolved.length > 0) {
    throw joinErrors(
      unresolved.map(({ message, start, end }) => ({
        code: 'MAAS_CONFIG_ENV',
        message,
        place: source.place(start, end),
      })),
    );
  }
  return root;
}

async function readBytes(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const place = { file };
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new MaasError('MAAS_CONFIG_MISSING', `there is no ${basename(file)}`, { place, cause });
    }
    if (code === 'EISDIR') {
      throw new MaasError('MAAS_CONFIG_MISSING', 'the config file is a folder', {
        place,
        cause,
        hint: `Pass the file in it: --config ${join(file, 'maas.config.yaml')}`,
      });
    }
    throw new MaasError('MAAS_DISK', `cannot read the config file: ${code ?? String(cause)}`, {
      place,
      cause,
      hint: 'Check the permissions of the file.',
    });
  }
}

function decode(bytes: Buffer, file: string): string {
  try {
    // Drops a byte-order mark by itself.
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new MaasError('MAAS_CONFIG_SYNTAX', 'the config file is not UTF-8 text', {
      place: { file },
      cause,
      hint: 'Save it with the encoding UTF-8.',
    });
  }
}
