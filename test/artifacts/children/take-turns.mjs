// Takes and gives back the lock `turns` times; while it has it, it must be the only one to have it.
// argv: store, turns
import { open, rm } from 'node:fs/promises';
import { openStore } from '../../../dist/internals/artifacts.js';

const [root, turns] = process.argv.slice(2);
const store = openStore(root);
const mark = `${root}.mark`;
let refused = 0;
for (let turn = 0; turn < Number(turns);) {
  let unlock;
  try {
    unlock = await store.lock('take-turns');
  } catch (error) {
    if (error.code !== 'MAAS_LOCKED') throw error;
    refused++;
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 3));
    continue;
  }
  // Fails when another process is between these two lines.
  const file = await open(mark, 'wx');
  await file.close();
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 3));
  await rm(mark);
  await unlock();
  turn++;
}
process.stdout.write(JSON.stringify({ refused }));
