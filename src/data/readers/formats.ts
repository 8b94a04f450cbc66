import { extname } from 'node:path';

/** Delimited text by file extension, with the delimiter each stands for. */
const delimiters: Readonly<Record<string, string>> = {
  '.csv': ',',
  '.tsv': '\t',
  '.txt': ',',
  '.data': ',',
};

/** Extensions of `data.source` that there is a reader for. */
export const extensions = Object.keys(delimiters);

/** What separates the fields of a file unless the config says otherwise. */
export function delimiterOf(path: string): string {
  return delimiters[extname(path).toLowerCase()] ?? ',';
}
