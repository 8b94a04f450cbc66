import { readFile } from 'node:fs/promises';
import { MaasError } from '../../../errors.js';
import type { LoadRequest } from './client.js';

/**
 * Bodies of requests from a file of JSON Lines: one a line, sent as they are.
 * @param path that they are posted to
 * @throws MaasError MAAS_DATA_MISSING, MAAS_DATA_EMPTY, or MAAS_DATA_SYNTAX with the line that is no JSON.
 */
export async function readRequests(file: string, path: string): Promise<LoadRequest[]> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new MaasError(
      'MAAS_DATA_MISSING',
      `cannot read ${file}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`,
      { hint: 'Check --requests: one JSON body a line.', cause: error },
    );
  }
  const requests = text.split('\n').flatMap((line, index): LoadRequest[] => {
    if (line.trim() === '') return [];
    try {
      JSON.parse(line);
    } catch (error) {
      throw new MaasError('MAAS_DATA_SYNTAX', `not JSON: ${(error as Error).message}`, {
        place: { file, line: index + 1, column: 1 },
        hint: 'Write one whole JSON body a line.',
      });
    }
    return [{ path, headers: { 'content-type': 'application/json' }, body: line }];
  });
  if (requests.length > 0) return requests;
  throw new MaasError('MAAS_DATA_EMPTY', `${file} holds no requests`, {
    hint: 'Write one JSON body a line.',
  });
}
