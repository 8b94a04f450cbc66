#!/usr/bin/env node
// As run.js, for work on maas itself: stacks point into the TypeScript sources, and oclif says what it does.
import { settings } from '@oclif/core';
import { buildIfStale } from './build.js';

const root = new URL('..', import.meta.url);
process.setSourceMapsEnabled(true);
settings.debug = true;
await buildIfStale(root);
await (await import('../dist/commands/cli/execute.js')).execute(root.href);
