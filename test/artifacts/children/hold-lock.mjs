// Tries for the lock. With it, says `held` and keeps it until it is killed; else says why not.
// argv: store
import { openStore } from '../../../dist/internals/artifacts.js';

const [root] = process.argv.slice(2);
try {
  await openStore(root).lock('hold-lock');
  process.stdout.write('held\n');
  setTimeout(() => {}, 60_000);
} catch (error) {
  process.stdout.write(`${error.code}\n`);
}
