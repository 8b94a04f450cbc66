// Tries for the lock. With it, says `held` and keeps it until it is killed; else says why not.
// argv: compiled source, store
import { join } from 'node:path';

const [source, root] = process.argv.slice(2);
const { openStore } = await import(join(source, 'artifacts', 'index.js'));
try {
  await openStore(root).lock('hold-lock');
  process.stdout.write('held\n');
  setTimeout(() => {}, 60_000);
} catch (error) {
  process.stdout.write(`${error.code}\n`);
}
