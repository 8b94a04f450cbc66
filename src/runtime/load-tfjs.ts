/** Loads a copy of `@tensorflow/tfjs-node` from its folder. Self-contained: a trial runs its text in a process of its own. */
export function tfjsLoader(folder: string): unknown {
  // CommonJS of 2024: functions of `util` that Node.js 22 warns of, and 23 has no more, are put in their place before.
  const { createRequire } = process.getBuiltinModule('node:module');
  const require = createRequire(`${folder}/package.json`);
  const util = require('util') as Record<string, unknown>;
  util['isNullOrUndefined'] = (value: unknown) => value === null || value === undefined;
  util['isArray'] = (value: unknown) => Array.isArray(value);
  return require(folder);
}

/**
 * The same in this process.
 * @param threads For operators; the first training of a process settles it, since TensorFlow looks once.
 */
export function loadTfjs(folder: string, threads: number): unknown {
  // It would otherwise tell on stderr what CPU it has found.
  process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '2';
  process.env['TF_NUM_INTRAOP_THREADS'] ??= String(threads);
  process.env['TF_NUM_INTEROP_THREADS'] ??= '1';
  return tfjsLoader(folder);
}
