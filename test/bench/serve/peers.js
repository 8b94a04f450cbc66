// The peers of `npm run bench:serve`: where each comes from on PyPI, how it is started, and what it understands.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('peers', import.meta.url));
const script = (name) => () => [name];

/** name → packages, which protocols it speaks, and its command line after `python`. */
export const peers = {
  fastapi: {
    packages: ['fastapi', 'uvicorn[standard]', 'orjson'],
    protocols: ['json', 'binary'],
    command: script('fastapi_app.py'),
  },
  litserve: { packages: ['litserve'], protocols: ['json'], command: script('litserve_app.py') },
  bentoml: {
    packages: ['bentoml'],
    protocols: ['json'],
    // A batched endpoint of its own takes the tensors of a request as they are.
    path: '/batch',
    command: ({ port }) => ['-m', 'bentoml', 'serve', 'bentoml_app:Bench', '--port', String(port)],
  },
  mlserver: {
    packages: ['mlserver'],
    // Over REST it knows no binary tensors (1.7.1).
    protocols: ['json'],
    command: ({ folder }) => ['-c', 'from mlserver.cli import main; main()', 'start', folder],
    prepare({ folder, port }) {
      const settings = { host: '127.0.0.1', http_port: port, grpc_port: port + 1, metrics_endpoint: null };
      Object.assign(settings, { parallel_workers: 0, debug: false });
      writeFileSync(join(folder, 'settings.json'), JSON.stringify(settings));
      const model = { name: 'bench', implementation: 'mlserver_app.Onnx' };
      Object.assign(model, { max_batch_size: 64, max_batch_time: 0.001 });
      writeFileSync(join(folder, 'model-settings.json'), JSON.stringify(model));
    },
  },
  kserve: { packages: ['kserve'], protocols: ['json', 'binary'], command: script('kserve_app.py') },
};

/** A Python for each peer, whose pins quarrel: in the folder that is given, or made from PyPI, to stay for the next time. */
export function findPython(name, given, say) {
  const folder = join(given ?? join(tmpdir(), 'maas-bench-serve'), name);
  const python = join(folder, 'bin', 'python');
  if (given || existsSync(join(folder, 'ready'))) return existsSync(python) ? python : undefined;
  say(`installing ${name} into ${folder}`);
  mkdirSync(folder, { recursive: true });
  execFileSync('python3', ['-m', 'venv', folder], { stdio: ['ignore', 2, 2] });
  const packages = [...peers[name].packages, 'onnxruntime', 'numpy'];
  execFileSync(python, ['-m', 'pip', 'install', '--quiet', ...packages], { stdio: ['ignore', 2, 2] });
  writeFileSync(join(folder, 'ready'), '');
  return python;
}

export function versionOf(name, python) {
  const code = `import importlib.metadata as m; print(m.version('${name}'), 'onnxruntime', m.version('onnxruntime'))`;
  return execFileSync(python, ['-c', code], { encoding: 'utf8' }).trim();
}

/** Starts a peer; resolves when it takes requests. */
export async function startPeer(name, { python, model, port, folder, threads, workers }) {
  mkdirSync(folder, { recursive: true });
  peers[name].prepare?.({ folder, port });
  const child = spawn(python, peers[name].command({ folder, port }), {
    cwd: name === 'mlserver' ? folder : here,
    env: {
      ...process.env,
      PYTHONPATH: here,
      PYTHONDONTWRITEBYTECODE: '1',
      MODEL_PATH: model,
      PORT: String(port),
      THREADS: String(threads),
      WORKERS: String(workers),
      BENTOML_DO_NOT_TRACK: 'true',
      BENTOML_HOME: folder,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (text) => (said = (said + text).slice(-2000)));
  const ended = new Promise((_, reject) =>
    child.once('exit', (code) => reject(new Error(`${name} ended with ${code}: ${said}`))),
  );
  ended.catch(() => undefined);
  const stop = async () => {
    const gone = new Promise((resolve) => child.once('exit', resolve));
    if (child.exitCode !== null || child.signalCode !== null) return;
    // Its workers, too: some start them in groups of their own, and end them when they are asked to end.
    process.kill(-child.pid, 'SIGTERM');
    await Promise.race([gone, sleep(5000, undefined, { ref: false })]);
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid, 'SIGKILL');
  };
  try {
    await Promise.race([untilListening(port), ended]);
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, path: peers[name].path ?? '/v2/models/bench/infer', stop };
}

async function untilListening(port) {
  for (let tries = 0; ; tries++) {
    const error = await new Promise((resolve) => {
      const socket = connect({ port, host: '127.0.0.1' }, () => resolve(socket.destroy() && undefined));
      socket.once('error', resolve);
    });
    if (!error) return;
    if (tries === 1200) throw error;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
