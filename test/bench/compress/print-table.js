/** Prints lines of cells in columns; the first is the header. A line with fewer cells, as of a failure, widens no column. */
export function printTable(table) {
  const whole = table.filter((line) => line.length === table[0].length);
  const widths = table[0].map((_, column) => Math.max(...whole.map((line) => line[column].length)));
  for (const line of table) {
    const cells = line.map((cell, column) => cell.padEnd(widths[column]));
    console.log(cells.join('  ').trimEnd());
  }
}
