import { randomUUID } from 'node:crypto';
import { link, readFile, readdir, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MaasError } from '../errors.js';
import { canonicalJson } from './canonical-json.js';
import { digestOf } from './digest.js';
import { isMissing, makeFolder } from './durable.js';
import { identifySelf, judgeLife, type Life, type ProcessIdentity } from './process-identity.js';

export interface LockOwner extends ProcessIdentity {
  readonly doing: string;
  /** ISO 8601. */
  readonly since: string;
  /** Makes every lock's content, and so its token, unlike any other. */
  readonly nonce: string;
}

interface Claim {
  readonly owner: LockOwner | undefined;
  readonly token: string;
  readonly life: Life;
}

const lockName = 'lock';

/**
 * Takes the lock file `root/lock`, or throws MAAS_LOCKED.
 *
 * A lock is written whole into `tmp` and then hard-linked to its name, which only one contender can do. The holder of
 * a lock left by a dead process is found along a chain: whoever links `lock.<token of the dead lock>` has taken that
 * one over. Tokens never come back, so that a contender who judged by an old sight of the chain links to a name that
 * nobody looks at, sees on a second walk that it is not the end, and gives up. The new holder then moves its claim
 * to `lock` by rename, which cuts the chain short.
 * @returns the function that gives the lock back; calling it twice does nothing.
 */
export async function takeLock(root: string, tmp: string, doing: string): Promise<() => Promise<void>> {
  const owner: LockOwner = {
    ...(await identifySelf()),
    doing,
    since: new Date().toISOString(),
    nonce: randomUUID(),
  };
  const content = canonicalJson(owner);
  const token = tokenOf(content);
  const lock = join(root, lockName);

  for (;;) {
    const { end, free } = await walkChain(root);
    if (end !== undefined && end.life !== 'dead') throw lockedBy(lock, end);
    if (!(await claim(root, tmp, free, content))) continue;
    if ((await walkChain(root)).end?.token === token) {
      if (free !== lock) await rename(free, lock);
      break;
    }
    await rm(free, { force: true });
  }
  // What is left of longer chains; contenders whose claims go here have lost already.
  for (const name of await readdir(root)) {
    if (name.startsWith(`${lockName}.`)) await rm(join(root, name), { force: true });
  }
  return async () => {
    const held = await readClaim(lock);
    if (held?.token === token) await unlink(lock);
  };
}

/** Links `content` to the name `free`; false when another was there first. */
async function claim(root: string, tmp: string, free: string, content: string): Promise<boolean> {
  await makeFolder(tmp, root);
  const draft = join(tmp, randomUUID());
  try {
    await writeFile(draft, content, { flag: 'wx' });
    await link(draft, free);
    return true;
  } catch (error) {
    // Missing: the one who holds the lock now has swept `tmp`.
    if (isMissing(error) || (error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** The last claim of the chain, if any, and the name that takes over from it. */
async function walkChain(root: string): Promise<{ end: Claim | undefined; free: string }> {
  let end: Claim | undefined;
  let free = join(root, lockName);
  for (;;) {
    const next = await readClaim(free);
    if (next === undefined) return { end, free };
    end = next;
    if (end.life !== 'dead') return { end, free };
    free = join(root, `${lockName}.${end.token}`);
  }
}

async function readClaim(path: string): Promise<Claim | undefined> {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  const owner = parseOwner(content);
  return { owner, token: tokenOf(content), life: owner === undefined ? 'dead' : await judgeLife(owner) };
}

/** Undefined for what a power cut left: links are made of whole files, but their bytes are not forced to the disk. */
function parseOwner(content: string): LockOwner | undefined {
  try {
    const owner = JSON.parse(content) as LockOwner;
    return Number.isSafeInteger(owner.pid) && owner.pid > 0 ? owner : undefined;
  } catch {
    return undefined;
  }
}

function tokenOf(content: string): string {
  return digestOf(Buffer.from(content)).slice(0, 32);
}

function lockedBy(path: string, { owner, life }: Claim): MaasError {
  const { pid, host, doing, since } = owner!;
  return new MaasError(
    'MAAS_LOCKED',
    `another run is at work here: ${doing} (pid ${pid} on ${host}, since ${since})`,
    {
      place: { file: path },
      details: { pid, host, doing, since },
      ...(life === 'elsewhere' && {
        hint: `It was started on another machine or in another container. Wait for it to end; if it is gone, delete ${path}.`,
      }),
    },
  );
}
