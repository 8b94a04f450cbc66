import { MaasError } from '../errors.js';
import { cellType, type DataConfig } from './config.js';
import { missingTest } from './missing.js';
import type { RawTable } from './readers/index.js';

/** The table without the rows whose target is missing, where the config says to leave them out. */
export function dropUnlabelled(table: RawTable, config: DataConfig): { table: RawTable; dropped: number } {
  const cells = table.columns[table.header.indexOf(config.target)];
  if (config.missing.target !== 'drop' || cells === undefined) return { table, dropped: 0 };
  const isMissing = missingTest(cellType(config, config.target) ?? 'category', config);
  const kept = [...cells.keys()].filter((row) => !isMissing(cells[row]!));
  if (kept.length === 0) throw noTargets(config.target, table.path);
  return {
    dropped: cells.length - kept.length,
    table: {
      ...table,
      columns: table.columns.map((column) => kept.map((row) => column[row]!)),
      lines: kept.map((row) => table.lines[row]!),
      locate: (row, column) => table.locate(row < 0 ? row : kept[row]!, column),
    },
  };
}

export function noTargets(name: string, path: string): MaasError {
  return new MaasError('MAAS_DATA_VALUE', `column "${name}" has no value in any row`, {
    place: { file: path },
    hint: 'Check data.target.',
  });
}
