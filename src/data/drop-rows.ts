import { MaasError } from '../errors.js';
import { cellType, type DataConfig } from './config.js';
import { missingTest } from './missing.js';
import type { RawTable } from './readers/index.js';

/** The table without the rows whose target is missing, where the config says to leave them out. */
export function dropUnlabelled(table: RawTable, config: DataConfig): { table: RawTable; dropped: number } {
  const isMissing = config.missing.target === 'drop' ? targetTest(table, config) : undefined;
  if (!isMissing) return { table, dropped: 0 };
  const kept = keepRows(table, (row) => !isMissing(row));
  if (kept.lines.length === 0) throw noTargets(config.target, table.path);
  return { dropped: table.lines.length - kept.lines.length, table: kept };
}

/** The other ones. */
export function takeUnlabelled(table: RawTable, config: DataConfig): RawTable {
  const isMissing = targetTest(table, config);
  return keepRows(table, (row) => isMissing?.(row) ?? false);
}

function targetTest(
  { header, columns }: RawTable,
  config: DataConfig,
): ((row: number) => boolean) | undefined {
  const cells = columns[header.indexOf(config.target)];
  const isMissing = missingTest(cellType(config, config.target) ?? 'category', config);
  return cells && ((row) => isMissing(cells[row]!));
}

function keepRows(table: RawTable, keeps: (row: number) => boolean): RawTable {
  const kept = [...table.lines.keys()].filter(keeps);
  return {
    ...table,
    columns: table.columns.map((column) => kept.map((row) => column[row]!)),
    lines: kept.map((row) => table.lines[row]!),
    locate: (row, column) => table.locate(row < 0 ? row : kept[row]!, column),
  };
}

export function noTargets(name: string, path: string): MaasError {
  return new MaasError('MAAS_DATA_VALUE', `column "${name}" has no value in any row`, {
    place: { file: path },
    hint: 'Check data.target.',
  });
}
