/** maas.config.yaml: read, filled in, validated, frozen. */
export { composeSchema } from './compose.js';
export { jsonSchema } from './json-schema.js';
export { loadProject, type LoadOptions } from './load.js';
export { named, type Named, type NamedDefinition } from './named.js';
export { readSection } from './read-section.js';
export { openProject, type OpenOptions } from './open-project.js';
export { placeIn, type ConfigPath } from './place.js';
export { matchesAny, matchesPattern } from './name-pattern.js';
