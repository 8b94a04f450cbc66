// Runs the slow stages. argv: project folder
import { Listr } from 'listr2';
import { openPipeline, openStore } from '../../../dist/internals/pipeline.js';
import { makeContext } from './slow-stages.mjs';

process.stdout.write('ready\n');
const pipeline = openPipeline(makeContext(openStore, process.argv[2]));
await new Listr(pipeline.tasks({ force: false }), { renderer: 'silent' }).run();
