import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { script, template, type Event } from '../../../e2e/maas.js';
import { Network, whyNoNetwork } from './namespaces.js';

const reason = whyNoNetwork();
if (reason !== undefined) console.warn(`skipped: training on three hosts: ${reason}`);

describe.skipIf(reason !== undefined)('training on three hosts', () => {
  let project: string;
  let network: Network;
  let settings: readonly string[];
  let whole: ReturnType<typeof end> | undefined;
  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), 'maas-hosts-'));
    network = new Network(4);
    await cp(join(template, 'data'), join(project, 'data'), { recursive: true });
    await writeFile(
      join(project, 'maas.config.yaml'),
      await readFile(join(template, 'maas.config.yaml'), 'utf8'),
    );
    // TCP alone: namespaces of one machine would find its memory.
    const overTcp = [
      '--mca',
      'plm_rsh_agent',
      network.agent,
      '--mca',
      'pml',
      'ob1',
      '--mca',
      'btl',
      '"self,tcp"',
    ];
    const nets = ['btl_tcp_if_include', 'oob_tcp_if_include'].flatMap((name) => [
      '--mca',
      name,
      '10.77.0.0/24',
    ]);
    settings = [
      `train.distributed.hosts=[${network.addresses.slice(1).join(',')}]`,
      `train.distributed.args=[${[...overTcp, ...nets].join(',')}]`,
      ...['train.epochs=60', 'train.engine.onnx.checkpointSeconds=0.02'],
    ];
  });
  afterAll(async () => {
    network.close();
    await rm(project, { recursive: true, force: true, maxRetries: 3 });
  });

  /** maas on the first host. */
  function start(args: readonly string[]) {
    const set = settings.flatMap((setting) => ['--set', setting]);
    const [program, ...words] = network.words(0, [process.execPath, script, ...args, '--events', ...set]);
    const child = execa(program, words, {
      ...{ cwd: project, reject: false, stdin: 'ignore', buffer: { stdout: false } },
      env: { NO_COLOR: '1' },
    });
    const events: Event[] = [];
    createInterface({ input: child.stdout }).on('line', (line) => events.push(JSON.parse(line) as Event));
    /** Waits until a launcher other than the former has ranks that make progress; gives its process. */
    const underWay = async (former?: number): Promise<number> => {
      // Only what ranks report: other events may still be on their way when the launcher is there.
      const reports = () => events.filter(({ event }) => event === 'train-progress').length;
      let seen = Infinity;
      for (;;) {
        if (child.exitCode !== null) throw new Error(`training has ended: ${(await child).stderr}`);
        const [launcher] = network.find(0, '^mpirun -n [23] ').filter((pid) => pid !== former);
        if (launcher === undefined) seen = reports();
        else if (reports() > seen + 2) return launcher;
        await sleep(10);
      }
    };
    return { child, events, underWay };
  }

  async function end({ child, events }: ReturnType<typeof start>) {
    const { exitCode, stderr } = await child;
    const done = events.find(({ event }) => event === 'stage-done');
    const notes = events.filter(({ event }) => event === 'note').map(({ text }) => String(text));
    const pointer = join(
      project,
      '.maas',
      'artifacts',
      'train',
      String(done?.['digest']).replace(/^sha256:/, ''),
    );
    const { epochs } = JSON.parse(
      done ? await readFile(join(pointer, 'history.json'), 'utf8') : '{"epochs": []}',
    ) as { epochs: { loss: number }[] };
    return { code: exitCode, stderr, done, notes: notes.join('\n'), history: epochs };
  }

  /** A training that nothing happens to. */
  const unbroken = async () => {
    const { code, stderr, done, history } = await (whole ??= end(start(['train', '--force'])));
    expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
    return { digest: done!['digest'], loss: history.at(-1)!.loss };
  };

  it('is found in order by maas doctor', async () => {
    const set = settings.flatMap((setting) => ['--set', setting]);
    const [program, ...words] = network.words(0, [process.execPath, script, 'doctor', '--json', ...set]);
    const { stdout } = await execa(program, words, { cwd: project, reject: false });
    const { findings } = JSON.parse(stdout) as { findings: { name: string; state: string }[] };
    const ours = findings.filter(({ name }) => /^(mpi|host)/.test(name)).map(({ state }) => state);
    expect(ours).toEqual(['ok', 'ok', 'ok', 'ok']);
  }, 60_000);

  it('goes on when a rank, the launcher and maas itself are killed, and ends in the same model', async () => {
    // First of all: what has ended well would be found in the cache.
    const running = start(['train']);
    const first = await running.underWay();
    process.kill(network.find(2, '^[^ ]*node .*rank\\.js')[0]!, 'SIGKILL');
    const second = await running.underWay(first);
    process.kill(second, 'SIGKILL');
    await running.underWay(second);
    process.kill(running.child.pid!, 'SIGKILL');
    await running.child;
    const { code, stderr, done, notes } = await end(start(['train']));
    expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
    expect(notes).toMatch(/went on from a checkpoint: epoch \d+ of/);
    expect(done!['digest']).toBe((await unbroken()).digest);
  }, 400_000);

  it('goes on with all hosts when a link was cut for a while', async () => {
    const running = start(['train', '--force']);
    await running.underWay();
    network.link(3, 'down');
    const began = performance.now();
    while (network.find(0, '^mpirun -n 3').length > 0) await sleep(50);
    // Without keep-alives it would hang on.
    expect(performance.now() - began).toBeLessThan(30_000);
    network.link(3, 'up');
    const { code, stderr, done, notes } = await end(running);
    expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
    expect(notes).toMatch(/went on from the checkpoint with 3 ranks/);
    expect(done!['digest']).toBe((await unbroken()).digest);
  }, 400_000);

  it('goes on with the hosts that are left when one is lost', async () => {
    const running = start(['train', '--force']);
    await running.underWay();
    network.link(3, 'down');
    const { code, stderr, notes, history } = await end(running);
    network.link(3, 'up');
    expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
    expect(notes).toContain(`lost ${network.addresses[3]}`);
    expect(notes).toMatch(/went on from the checkpoint with 2 ranks/);
    expect(Math.abs(history.at(-1)!.loss - (await unbroken()).loss)).toBeLessThan(1e-3);
  }, 400_000);
});
