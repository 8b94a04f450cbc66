import type { Place } from '../errors.js';
import type { Project } from '../plugin/api.js';
import { find, placeOf, type Located } from './located.js';

/** Way to a value of the config: keys, and positions in lists. */
export type ConfigPath = readonly (string | number)[];

/** Where the value at `path` is written; or, for one that is left to its default, what it would be written in. */
export function placeWithin(root: Located, path: ConfigPath): Place {
  const { value, nearest } = find(root, path);
  if (value) return placeOf(value.origin);
  return nearest === root ? { file: root.origin.source.name } : placeOf(nearest.key ?? nearest.origin);
}

/** Place of a value for errors that show only when the project is at work, such as a layer that does not fit the data. */
export function placeIn(project: Pick<Project, 'configFile' | 'placeOf'>, path: ConfigPath): Place {
  return project.placeOf?.(path) ?? { file: project.configFile };
}
