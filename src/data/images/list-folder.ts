import { readdir } from 'node:fs/promises';
import { extname, join, sep } from 'node:path';
import { MaasError } from '../../errors.js';
import { describeOpenError } from '../readers/index.js';

/** Names of files that are taken for images. */
const endings = ['.jpg', '.jpeg', '.jpe', '.png', '.webp', '.gif', '.tif', '.tiff', '.avif'];
/** Folders of people who have divided their images already. */
const parts = new Set(['train', 'training', 'val', 'valid', 'validation', 'test', 'testing']);

export interface ListedImages {
  /** Absolute, in the order of their names. */
  readonly files: readonly string[];
  /** Relative to the folder, with forward slashes. */
  readonly names: readonly string[];
  /** Of each: the folder that it lies in, or the outermost of them. */
  readonly labels: readonly string[];
  readonly notes: readonly string[];
}

/**
 * Images below the folders of a folder; each folder is a class. Hidden files are passed over.
 * @throws MaasError MAAS_DATA_MISSING, MAAS_DATA_EMPTY, MAAS_DATA_VALUE for an image that lies in no class folder.
 */
export async function listFolder(path: string): Promise<ListedImages> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(
    async (error: unknown) => {
      throw (error as NodeJS.ErrnoException).code === 'ENOTDIR'
        ? new MaasError(
            'MAAS_DATA_MISSING',
            'data.source has no ending that a reader is for, and is no folder',
            {
              place: { file: path },
              hint: 'Give the file the ending of its format, such as .csv.',
            },
          )
        : await describeOpenError(path, error as NodeJS.ErrnoException, 'folder');
    },
  );
  const found: string[] = [];
  const others: string[] = [];
  for (const entry of entries) {
    const name = join(entry.parentPath, entry.name)
      .slice(path.length)
      .replace(/^[/\\]+/, '')
      .split(sep)
      .join('/');
    if (entry.isDirectory() || /(^|\/)\./.test(name)) continue;
    (endings.includes(extname(name).toLowerCase()) ? found : others).push(name);
  }
  const names = found.sort();
  const place = { file: path };
  if (names.length === 0) {
    throw new MaasError('MAAS_DATA_EMPTY', `there is no image in the folder (${endings.join(', ')})`, {
      place,
      hint: 'Put the images of each class in a folder that is named as the class.',
    });
  }
  const loose = names.filter((name) => !name.includes('/'));
  if (loose.length > 0) {
    const more = loose.length > 1 ? `, as ${loose.length - 1} more` : '';
    throw new MaasError('MAAS_DATA_VALUE', `the image lies in no class folder${more}`, {
      place: { file: join(path, loose[0]!) },
      hint: 'Put it into the folder of its class, or name labels in a CSV file: data.types: {file: image}.',
    });
  }
  const labels = names.map((name) => name.slice(0, name.indexOf('/')));
  const classes = [...new Set(labels)];
  if (classes.length > 1 && classes.every((label) => parts.has(label.toLowerCase()))) {
    throw new MaasError(
      'MAAS_DATA_COLUMN',
      `the folders ${classes.join(', ')} are parts of data, not classes`,
      {
        place,
        hint: 'Put the class folders of all parts together: data.split divides them.',
      },
    );
  }
  return { files: names.map((name) => join(path, name)), names, labels, notes: noteOthers(others.sort()) };
}

function noteOthers(names: readonly string[]): string[] {
  if (names.length === 0) return [];
  const shown = names.length > 3 ? [...names.slice(0, 3), '…'] : names;
  return [
    `left out ${names.length} ${names.length === 1 ? 'file' : 'files'} without an image's ending: ${shown.join(', ')}`,
  ];
}
