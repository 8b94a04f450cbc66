import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { cpus } from 'node:os';
import { dirname } from 'node:path';
import type { Engine, Places, Project, Registry } from '../plugin/api.js';
import { loadRuntime } from '../runtime/load.js';
import { runtimeVersion } from '../runtime/version.js';
import { examineRanks } from './train/distributed/examine.js';

/** What was found of one thing that maas can use. */
export interface Finding {
  readonly name: string;
  /** `absent` is what nothing here needs; `missing` is what something does. */
  readonly state: 'ok' | 'absent' | 'missing';
  readonly detail: string;
  readonly hint?: string;
}

export interface Patient extends Places {
  readonly registry: Registry;
  readonly project?: Project | undefined;
}

/** Least Node.js, as package.json states it. */
const leastNode = [20, 19];
/** Room for a training and its artifacts: below it a run is likely to fail midway. In bytes. */
const leastRoom = 2 ** 29;

/** Looks at the machine, and asks each engine whether it could run. */
export async function examine({ registry, project, root, cache }: Patient): Promise<Finding[]> {
  const places = { root: project?.root ?? root, cache };
  const chosen = (project?.config['train'] as { engine?: { name?: string } } | undefined)?.engine?.name;
  return [
    examineNode(process.versions.node),
    await examineRuntime(),
    examineCpu(),
    await examineDisk(places.root),
    ...(await Promise.all(
      [...registry.engines.values()].map((engine) => examineEngine(engine, places, engine.name === chosen)),
    )),
    ...(await examineRanks(project)),
  ];
}

export function examineNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [leastMajor = 0, leastMinor = 0] = leastNode;
  const ok = major > leastMajor || (major === leastMajor && minor >= leastMinor);
  return {
    name: 'node',
    state: ok ? 'ok' : 'missing',
    detail: version,
    ...(!ok && { hint: `maas needs Node.js ${leastNode.join('.')} or later.` }),
  };
}

async function examineRuntime(): Promise<Finding> {
  try {
    await loadRuntime();
    return { name: 'onnxruntime', state: 'ok', detail: runtimeVersion() };
  } catch (error) {
    const { message, hint } = error as Error & { hint?: string };
    return { name: 'onnxruntime', state: 'missing', detail: message, ...(hint !== undefined && { hint }) };
  }
}

function examineCpu(): Finding {
  const all = cpus();
  const model = all[0]?.model.trim() ?? process.arch;
  return { name: 'cpu', state: 'ok', detail: `${all.length} × ${model} (${process.arch})` };
}

async function examineDisk(root: string): Promise<Finding> {
  let folder = root;
  while (!existsSync(folder) && folder !== dirname(folder)) folder = dirname(folder);
  const { bavail, bsize } = await statfs(folder);
  const room = bavail * bsize;
  const ok = room >= leastRoom;
  return {
    name: 'disk',
    state: ok ? 'ok' : 'missing',
    detail: `${(room / 1e9).toFixed(1)} GB free at ${folder}`,
    ...(!ok && { hint: 'Free some space: `.maas` of old projects, or the cache of npm.' }),
  };
}

async function examineEngine(engine: Engine, places: Places, isChosen: boolean): Promise<Finding> {
  const missing = await engine.unavailable?.(places);
  const name = `engine ${engine.name}`;
  if (!missing) return { name, state: 'ok', detail: engine.summary };
  return { name, state: isChosen ? 'missing' : 'absent', detail: missing.reason, hint: missing.hint };
}
