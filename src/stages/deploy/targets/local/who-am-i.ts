import { hostname, userInfo } from 'node:os';

/** user@host, for the journal. */
export function whoAmI(): string {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    // A container may run under a user id that has no name.
    return `${process.getuid?.() ?? 'unknown'}@${hostname()}`;
  }
}
