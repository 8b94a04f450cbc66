import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runProgram } from '../../../src/stages/train/program.js';

it('leaves nothing running when it cannot write', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'maas-program-'));
  const log = join(folder, 'log');
  // What a full disk does, too.
  await mkdir(`${log}.pid`);
  const running = runProgram({
    command: `echo $$ >${folder}/pid; exec sleep 30`,
    ...{ cwd: folder, env: {}, log, graceSeconds: 1, signal: new AbortController().signal },
  });
  await expect(running).rejects.toThrow('EISDIR');
  const pid = (await readFile(join(folder, 'pid'), 'utf8').catch(() => '')).trim();
  // Empty for what has ended and waits to be collected.
  const line = () => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  if (pid !== '') await expect.poll(line).toBe('');
  await rm(folder, { recursive: true });
});
