import { MaasError } from '../errors.js';
import { cellType, targetsOf, type DataConfig } from './config.js';
import { missingTest } from './missing.js';
import type { RawTable } from './readers/index.js';

/** The table without the rows whose target is missing, where the config says to leave them out. */
export function dropUnlabelled(table: RawTable, config: DataConfig): { table: RawTable; dropped: number } {
  const isMissing = config.missing.target === 'drop' ? targetTest(table, config) : undefined;
  if (!isMissing) return { table, dropped: 0 };
  const kept = keepRows(table, (row) => !isMissing(row));
  if (kept.lines.length === 0) throw noTargets(targetsOf(config), table.path);
  return { dropped: table.lines.length - kept.lines.length, table: kept };
}

/** The other ones. */
export function takeUnlabelled(table: RawTable, config: DataConfig): RawTable {
  const isMissing = targetTest(table, config);
  return keepRows(table, (row) => isMissing?.(row) ?? false);
}

/** Whether a row lacks a target; undefined where the table has none. */
function targetTest(
  { header, columns }: RawTable,
  config: DataConfig,
): ((row: number) => boolean) | undefined {
  const tests = targetsOf(config)
    .filter((name) => header.includes(name))
    .map((name) => {
      const cells = columns[header.indexOf(name)]!;
      const isMissing = missingTest(cellType(config, name) ?? 'category', config);
      return (row: number) => isMissing(cells[row]!);
    });
  return tests.length > 0 ? (row) => tests.some((isMissing) => isMissing(row)) : undefined;
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

export function noTargets([name, ...others]: readonly string[], path: string): MaasError {
  const which =
    others.length > 0 ? `no row has a value for each target` : `column "${name}" has no value in any row`;
  return new MaasError('MAAS_DATA_VALUE', which, {
    place: { file: path },
    hint: 'Check data.target.',
  });
}
