import { appendFileSync, existsSync, readFileSync, truncateSync } from 'node:fs';

/** What stands in every line: the epoch, and the steps of the whole training that are done. */
export interface Line {
  readonly epoch: number;
  readonly step: number;
  readonly [figure: string]: unknown;
}

/** Opens a file of JSON lines to go on with. What a kill tore off at its end is cut away. */
export function openLineFile(path: string): { add(line: Line): void } {
  /** Steps after which there is a line, and epochs that have ended. */
  const seen = { step: 0, epoch: 0 };
  const note = ({ epoch, step, validation }: Line): void => {
    seen.step = Math.max(seen.step, step);
    if (validation !== undefined) seen.epoch = Math.max(seen.epoch, epoch);
  };
  if (existsSync(path)) {
    const file = readFileSync(path);
    const end = file.lastIndexOf('\n') + 1;
    if (end < file.length) truncateSync(path, end);
    for (const text of file.toString('utf8', 0, end).split('\n'))
      if (text !== '') note(JSON.parse(text) as Line);
  }
  return {
    add(line) {
      if (line['validation'] === undefined ? line.step <= seen.step : line.epoch <= seen.epoch) return;
      appendFileSync(path, `${JSON.stringify({ time: new Date().toISOString(), ...line })}\n`);
      note(line);
    },
  };
}
