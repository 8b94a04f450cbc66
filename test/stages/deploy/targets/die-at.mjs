import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

/**
 * Has this process kill itself right before its n-th change of the disk; 0 lets it live. Import what changes the disk after this.
 * @returns how many changes there were so far.
 */
export function dieAt(point) {
  let changes = 0;
  const names = [
    'mkdir',
    'open',
    'copyFile',
    'chmod',
    'rename',
    'symlink',
    'rm',
    'writeFile',
    'link',
    'unlink',
  ];
  for (const name of names) {
    const real = fs[name];
    fs[name] = (...args) => {
      // Opening a file to read it changes nothing.
      if (name === 'open' && (args[1] ?? 'r') === 'r') return real(...args);
      changes += 1;
      if (changes === point) process.kill(process.pid, 'SIGKILL');
      return real(...args);
    };
  }
  syncBuiltinESMExports();
  return () => changes;
}
