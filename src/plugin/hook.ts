import type { Hook } from '@oclif/core/hooks';
import type { Registration } from './api.js';

// An interface would have no index signature, which oclif asks for.
// oxlint-disable-next-line typescript/consistent-type-definitions
export type RegisterOptions = {
  /**
   * Sections of the config that the command reads; undefined for all. It is there for the built-ins: a server need not load
   * what trains. Where the project has plugins, all is loaded.
   */
  readonly sections?: readonly string[];
};

declare module '@oclif/core/hooks' {
  interface Hooks {
    /** Asked once per command; every plugin answers with what it brings. */
    'maas:register': { options: RegisterOptions; return: Registration };
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
