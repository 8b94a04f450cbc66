import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';

/**
 * Settings with which podman keeps everything in `root` and runs where the kernel or another container gives it little; to be had in the
 * environment of whatever calls it.
 */
export function podmanEnvironment(root: string): Record<string, string> {
  const folder = join(root, 'podman');
  mkdirSync(folder, { recursive: true });
  const containers = join(folder, 'containers.conf');
  writeFileSync(
    containers,
    '[containers]\ndefault_ulimits=["nofile=20000:20000","nproc=32768:32768"]\n[engine]\nruntime="runc"\ncgroup_manager="cgroupfs"\n',
  );
  const storage = join(folder, 'storage.conf');
  writeFileSync(
    storage,
    `[storage]\ndriver="vfs"\ngraphroot="${join(folder, 'storage')}"\nrunroot="${join(folder, 'run')}"\n`,
  );
  return { CONTAINERS_CONF: containers, CONTAINERS_STORAGE_CONF: storage };
}

/** Why podman runs no containers here; undefined when it does. Says so on stderr. */
export function whyNoPodman(): string | undefined {
  const missing = ['podman', 'runc'].find((name) => spawnSync('which', [name]).status !== 0);
  if (missing === undefined) return undefined;
  process.stderr.write(`skipped: ${missing} is not installed\n`);
  return missing;
}
