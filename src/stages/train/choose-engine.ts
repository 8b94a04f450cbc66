import type { Named } from '../../config/named.js';
import type { Engine, Places, Project, Registry } from '../../plugin/api.js';
import type { TrainOptions } from './config.js';

/** Stands in the config for whichever engine is there. */
export const auto = 'auto';

/** What `auto` takes, the first that is there. A library that somebody has installed is there to be used. */
const preferred = ['tfjs-node', 'onnx'] as const;

export interface ChosenEngine {
  readonly engine: Engine;
  readonly options: Named['options'];
  /** Why this one, where the config leaves it to maas. */
  readonly reason?: string;
}

type Wanted = Pick<TrainOptions, 'engine' | 'distributed' | 'loss'>;

/** The engine that the config names, or for `auto` the one that this machine has. */
export async function chooseEngine(
  { engine, distributed, loss }: Wanted,
  { engines }: Pick<Registry, 'engines'>,
  project: Project,
): Promise<ChosenEngine> {
  if (engine.name !== auto) return { engine: engines.get(engine.name)!, options: engine.options };
  const passed: string[] = [];
  for (const name of preferred) {
    const candidate = engines.get(name);
    if (!candidate) continue;
    const why = await obstacle(candidate, { distributed, loss }, placesOf(project));
    if (why === undefined) {
      const options = candidate.options?.parse({}) ?? {};
      return {
        engine: candidate,
        options,
        reason: passed.length > 0 ? passed.join('; ') : 'it is installed',
      };
    }
    passed.push(why);
  }
  throw new TypeError(`no engine for auto: ${passed.join('; ')}`);
}

async function obstacle(
  engine: Engine,
  { distributed, loss }: Omit<Wanted, 'engine'>,
  places: Places,
): Promise<string | undefined> {
  if (distributed && (engine.ownsModel === true || engine.distributed !== true))
    return `${engine.name} trains in one process`;
  if (loss && engine.ownsModel !== true && engine.withoutLosses?.includes(loss.name))
    return `${engine.name} cannot train by ${loss.name}`;
  const missing = await engine.unavailable?.(places);
  return missing && `${engine.name} cannot run: ${missing.reason}`;
}

export function placesOf({ root, cache }: Project): Places {
  return { root, cache };
}
