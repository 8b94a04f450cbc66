import { MaasError } from '../../../../errors.js';
import {
  defineTarget,
  type Release,
  type ReleaseRecord,
  type Target,
  type TargetContext,
  type TargetStep,
} from '../../../../plugin/api.js';
import { isDigest } from '../../../../artifacts/digest.js';
import { checkServer } from '../../check-server.js';
import { nothingToGoBackTo } from '../../nothing-to-go-back-to.js';
import { checkRelease } from '../../release-folder.js';
import { earlierReleases, type History, orderReleases, type Switch, tellHistory } from '../local/journal.js';
import { whoAmI } from '../local/who-am-i.js';
import { putFolder, releaseFolder, type ServerFolder, serverFolder } from './folders.js';
import { type SshOptions, sshOptions } from './options.js';
import { noFolder, quote, Remote } from './remote.js';
import { tryOut } from './try-out.js';

type Context = TargetContext<SshOptions>;

/** What lies on the other machine. */
interface Place {
  readonly current: string | undefined;
  /** The server that the service runs: `servers/<digest>`. */
  readonly server: string | undefined;
  /** The server that the service was last started anew with. */
  readonly told: string | undefined;
  readonly releases: readonly string[];
  readonly history: History;
}

/** Collects the server to be sent. */
export type CollectServer = (project: Context['project'], release: Release) => Promise<ServerFolder>;

/**
 * Releases on another machine, with a server that runs them there, through ssh alone:
 *
 *   releases/<digest>/   whole releases
 *   servers/<digest>/    what serves them, without the command line: `node server/app/dist/commands/cli/serve-image.js current`
 *   current, server      links to one of each
 *   history.jsonl        every switch
 */
export function makeSshTarget(collect: CollectServer): Target {
  return defineTarget<SshOptions>({
    name: 'ssh',
    summary: 'Another machine, through ssh.',
    options: sshOptions,
    async current(context) {
      const { current, server, told } = await look(new Remote(context));
      // A deploy that was killed before the service knew of its new server is not done.
      return context.options.restart === undefined || told === server ? current : undefined;
    },
    steps: (context, release) => planSteps(context, release, collect),
    list: async (context): Promise<ReleaseRecord[]> => {
      const { releases, history } = await look(new Remote(context));
      return orderReleases(releases, history);
    },
    prune: (context) => prune(new Remote(context), context.keep),
    rollback: rollBack,
  });
}

export const sshTarget = makeSshTarget(serverFolder);

function planSteps(context: Context, release: Release, collect: CollectServer): TargetStep[] {
  const remote = new Remote(context);
  const { options, signal } = context;
  let known: Promise<ServerFolder> | undefined;
  const server = (): Promise<ServerFolder> => (known ??= collect(context.project, release));
  return [
    {
      title: 'verify it here',
      run: async (note) => {
        await context.verify(release, note);
      },
    },
    {
      title: `copy the server to ${options.host}`,
      run: async (note) => {
        await checkMachine(remote, options.node);
        const done = await putFolder(remote, await server());
        if (done === 'mended') note('the copy that was there was damaged, and has been mended');
      },
    },
    {
      title: 'copy the release',
      run: async (note) => {
        await checkRelease(release.path);
        const done = await putFolder(remote, await releaseFolder(release));
        if (done === 'mended') note('the copy that was there was damaged, and has been mended');
      },
    },
    {
      title: 'verify it there',
      run: async (note) => {
        const { node, timeout } = options;
        const replay = await tryOut(remote, release, { server: await server(), node, timeout, signal });
        if (replay !== undefined) note(`${replay.rows} golden rows answered`);
      },
    },
    {
      title: 'switch to it',
      run: async (note) => {
        await switchTo(context, remote, 'deploy', release, (await server()).path);
        note(`${options.host}:${remote.directory}/current → ${release.digest.slice(0, 12)}`);
      },
    },
    {
      title: 'remove old releases',
      run: async (note) => {
        const removed = await prune(remote, context.keep);
        if (removed > 0) note(`${removed} removed, the newest ${context.keep} kept`);
      },
    },
  ];
}

/** @throws MaasError MAAS_PROGRAM when the machine has no such Node, or is another kind than this one. */
async function checkMachine(remote: Remote, node: string): Promise<void> {
  const said = await remote.must(
    'tell which Node it has',
    `exec ${quote(node)} -p '[process.platform, process.arch, process.versions.node].join(" ")'`,
    { change: true },
  );
  const [platform, arch, version = '0'] = said.trim().split(' ');
  const refuse = (what: string, hint: string): MaasError =>
    new MaasError('MAAS_PROGRAM', `${remote.host} ${what}`, { hint });
  if (platform !== process.platform || arch !== process.arch) {
    throw refuse(
      `is ${platform}/${arch}, and this machine is ${process.platform}/${process.arch}`,
      'The server takes the native libraries of the machine that deploys: deploy from one of the same kind.',
    );
  }
  if (Number.parseInt(version) < 20)
    throw refuse(`has Node ${version}`, 'Install Node 20 or later, and name it in deploy.target.ssh.node.');
}

async function look(remote: Remote): Promise<Place> {
  const script = [
    'echo "current $(readlink current)"',
    'echo "server $(readlink server)"',
    'echo "told $(cat told 2>/dev/null)"',
    'for one in releases/*; do echo "release ${one##*/}"; done',
    "[ ! -e history.jsonl ] || sed 's/^/line /' history.jsonl",
  ].join('\n');
  const { exitCode, stdout } = await remote.try(script);
  const lines = exitCode === noFolder ? [] : stdout.split('\n');
  const all = (word: string): string[] =>
    lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
  const digest = all('current')[0]?.split('/').at(-1);
  const current = digest !== undefined && isDigest(digest) ? digest : undefined;
  const path = (word: string): string | undefined => all(word).find((text) => text !== '');
  return {
    current,
    server: path('server'),
    told: path('told'),
    releases: all('release').filter(isDigest),
    history: tellHistory(all('line').join('\n'), current),
  };
}

/** Moves the links, tells the service if it has to know, and takes all of it back when that does not answer as it should. */
async function switchTo(
  context: Context,
  remote: Remote,
  action: Switch['action'],
  release: { readonly digest: string; readonly path?: string },
  server: string | undefined,
): Promise<void> {
  const before = await look(remote);
  await moveLinks(remote, action, before, release.digest, server);
  try {
    await tellService(context, remote);
    await observe(context, remote, release);
  } catch (error) {
    if (before.current === undefined) await remote.must('go back', 'rm -f current server', { change: true });
    else if (before.current !== release.digest) {
      await moveLinks(remote, 'rollback', await look(remote), before.current, before.server);
      await tellService(context, remote).catch(() => undefined);
    }
    throw error;
  }
}

async function moveLinks(
  remote: Remote,
  action: Switch['action'],
  { current, server: former }: Place,
  digest: string,
  server: string | undefined,
): Promise<void> {
  const link = (to: string, name: string): string => `ln -s ${to} tmp/${name} && mv -fT tmp/${name} ${name}`;
  const entry: Switch = {
    at: new Date().toISOString(),
    by: whoAmI(),
    action,
    from: current ?? null,
    to: digest,
  };
  const changes = [
    ...(server === undefined || server === former ? [] : [link(server, 'server')]),
    ...(current === digest
      ? []
      : [
          `printf '\\n%s' ${quote(JSON.stringify(entry))} >> history.jsonl`,
          'sync',
          link(`releases/${digest}`, 'current'),
        ]),
    'sync',
  ];
  await remote.must('switch', `set -e\n[ -d releases/${digest} ]\n${changes.join('\n')}`, { change: true });
}

/** Has the service started anew when it runs another server than the link says. */
async function tellService({ options }: Context, remote: Remote): Promise<void> {
  const { server, told } = await look(remote);
  if (options.restart === undefined || server === told) return;
  await remote.must(`run \`${options.restart}\``, options.restart);
  await remote.must('note it', `echo ${server ?? ''} > told`, { change: true });
}

async function observe(
  { project, options, signal }: Context,
  remote: Remote,
  release: { readonly digest: string; readonly path?: string },
): Promise<void> {
  if (options.observe === undefined) return;
  const { timeout } = options;
  // A service that goes over by itself answers with the former release for a moment.
  const deadline = Date.now() + timeout * 1000;
  await remote.withTunnel(options.observe, async (url) => {
    for (;;) {
      try {
        await checkServer({ url, model: project.name, signal }, release, timeout);
        return;
      } catch (error) {
        if (Date.now() > deadline || !isOther(error)) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  });
}

const isOther = (error: unknown): boolean =>
  error instanceof MaasError &&
  error.code === 'MAAS_VERIFY_FAILED' &&
  / serves .* instead of /.test(error.message);

async function rollBack(context: Context, count: number): Promise<string> {
  const remote = new Remote(context);
  const { releases, history, server } = await look(remote);
  const earlier = earlierReleases(history).filter((digest) => releases.includes(digest));
  const digest = earlier[count - 1];
  if (digest === undefined) throw nothingToGoBackTo(undefined, earlier.length, count);
  await switchTo(context, remote, 'rollback', { digest }, server);
  return digest;
}

/** Keeps the newest releases, the current one and the one to go back to; of servers, the one that runs. */
async function prune(remote: Remote, keep: number): Promise<number> {
  const { releases, history, server } = await look(remote);
  const safe = new Set([history.stack.at(-1), earlierReleases(history)[0]]);
  const old = orderReleases(releases, history)
    .slice(keep)
    .filter(({ digest }) => !safe.has(digest));
  if (releases.length === 0) return 0;
  const script = [
    'set -e',
    // What was never switched to may just be verified by somebody else.
    ...old.map(({ digest, deployedAt }) => {
      const age = deployedAt === undefined ? '-mmin +60' : '';
      return `find releases/${digest} -prune ${age} -exec mv {} tmp/ ';' -exec echo {} ';'`;
    }),
    // A server may be at work in a folder that no link leads to any more: only those of other days go.
    ...(server === undefined
      ? []
      : [`find servers -mindepth 1 -maxdepth 1 ! -path ${server} -mtime +0 -exec mv {} tmp/ ';'`]),
    'rm -rf tmp',
  ];
  const removed = await remote.must('remove old releases', script.join('\n'), { change: true });
  return removed.split('\n').filter(Boolean).length;
}
