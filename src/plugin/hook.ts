import type { Hook } from '@oclif/core/hooks';
import type { Registration } from './api.js';

declare module '@oclif/core/hooks' {
  interface Hooks {
    /** Asked once per command; every plugin answers with what it brings. */
    'maas:register': { options: Record<string, never>; return: Registration };
  }
}

/**
 * A plugin's answer to the oclif hook `maas:register`, named in its package.json:
 *
 *     "oclif": {"hooks": {"maas:register": "./register.js"}}
 *
 * with `export default async () => ({apiVersion: 1, passes: [...]})` in that file.
 */
export type RegisterHook = Hook<'maas:register'>;
