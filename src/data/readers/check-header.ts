import { MaasError, type Place } from '../../errors.js';
import { locateField } from './locate-field.js';

interface HeaderPlace {
  readonly path: string;
  readonly raw: string;
  readonly line: number;
  readonly delimiter: string;
}

/**
 * Makes sure that every column has a name and no two share one.
 * @throws MaasError MAAS_DATA_COLUMN, or MAAS_DATA_SYNTAX when the delimiter seems to be another.
 */
export function checkHeader(header: readonly string[], { path, raw, line, delimiter }: HeaderPlace): void {
  const at = (column: number): Place => locateField(path, raw, line, delimiter, column);
  header.forEach((name, column) => {
    if (name === '') {
      throw new MaasError('MAAS_DATA_COLUMN', `column ${column + 1} of the header has no name`, {
        place: at(column),
        hint: 'Name every column, and end the header line without a delimiter.',
      });
    }
    const first = header.indexOf(name);
    if (first !== column) {
      throw new MaasError(
        'MAAS_DATA_COLUMN',
        `columns ${first + 1} and ${column + 1} are both named "${name}"`,
        {
          place: at(column),
          hint: 'Give every column a name of its own.',
        },
      );
    }
  });
  if (header.length === 1) {
    const other = [',', ';', '\t', '|'].find((mark) => mark !== delimiter && header[0]!.includes(mark));
    if (other === undefined) return;
    throw new MaasError('MAAS_DATA_SYNTAX', `the header has no ${JSON.stringify(delimiter)} in it`, {
      place: at(0),
      hint: `The fields seem to be separated by ${JSON.stringify(other)}: set data.delimiter.`,
    });
  }
}
