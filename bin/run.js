#!/usr/bin/env node
import { existsSync, readFileSync } from 'node:fs';
import module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

const root = new URL('..', import.meta.url);
const [first, ...others] = process.argv.slice(2);

if (others.length === 0 && (first === '--version' || first === 'version')) {
  // Scripts ask for the version often: answer before anything else is loaded.
  const { name, version } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));
  process.stdout.write(`${name}/${version} ${process.platform}-${process.arch} node-${process.version}\n`);
} else {
  // Node 22 and later keep what they have compiled. Not in their own folder for that: others may write to the system's temporary one.
  const caches = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  module.enableCompileCache?.(join(caches, 'maas', 'compiled'));
  // A published package carries dist and no sources. A checkout builds itself, for npm runs no install scripts here.
  if (existsSync(new URL('src/pipeline.ts', root))) await (await import('./build.js')).buildIfStale(root);
  await (await import('../dist/commands/cli/execute.js')).execute(root.href);
}
