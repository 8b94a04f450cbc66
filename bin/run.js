#!/usr/bin/env node
import { existsSync, readFileSync } from 'node:fs';

const root = new URL('..', import.meta.url);
const [first, ...others] = process.argv.slice(2);

if (others.length === 0 && (first === '--version' || first === 'version')) {
  // Scripts ask for the version often: answer before anything else is loaded.
  const { name, version } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));
  process.stdout.write(`${name}/${version} ${process.platform}-${process.arch} node-${process.version}\n`);
} else {
  // A published package carries dist and no sources. A checkout builds itself, for npm runs no install scripts here.
  if (existsSync(new URL('src/pipeline.ts', root))) await (await import('./build.js')).buildIfStale(root);
  await (await import('../dist/commands/cli/execute.js')).execute(root.href);
}
