import { MaasError } from '../../errors.js';

export function notUtf8(path: string, line?: number, encoding = 'some other encoding'): MaasError {
  return new MaasError('MAAS_DATA_SYNTAX', `the file is not UTF-8 text but ${encoding}`, {
    place: { file: path, ...(line !== undefined && { line }) },
    hint: 'Save the file as UTF-8, for instance with `iconv -t UTF-8`.',
  });
}
