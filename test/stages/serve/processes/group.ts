import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startMaas } from '../../../e2e/maas.js';
import { subjects } from '../traffic/subjects.js';

export const subject = subjects.find(({ name }) => name === 'perceptron')!;

/** A project that serves in two processes, with a model as a file, and in a folder of models. */
export async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'maas-processes-'));
  const config = [
    'name: garden',
    'data: { source: none.csv, target: y }',
    'train: { model: { layers: [{ dense: { units: 1 } }] } }',
    'serve: { processes: 2, drainTimeout: 5 }',
  ];
  await writeFile(join(folder, 'maas.config.yaml'), `${config.join('\n')}\n`);
  await mkdir(join(folder, 'models', subject.name, '1'), { recursive: true });
  await writeFile(join(folder, `${subject.name}.onnx`), subject.models[0]);
  await writeFile(join(folder, 'models', subject.name, '1', 'model.onnx'), subject.models[0]);
  return folder;
}

/** Numbers of the processes that this one started. */
export function childrenOf(pid: number): number[] {
  try {
    return execFileSync('pgrep', ['-P', String(pid)], { encoding: 'utf8' })
      .trim()
      .split('\n')
      .map(Number);
  } catch {
    return [];
  }
}

/** One that has ended, and that nobody has looked after yet, counts as gone. */
export function isAlive(pid: number): boolean {
  try {
    return !execFileSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).startsWith('Z');
  } catch {
    return false;
  }
}

/** `maas serve` in that folder, once it serves. */
export async function startGroup(folder: string, args: readonly string[] = [`${subject.name}.onnx`]) {
  const { child, events, ended, next } = startMaas(folder, ['serve', '--port', '0', ...args]);
  const serving = await next(({ event }) => event === 'serving');
  if (!serving) throw new Error((await ended).stderr);
  const url = serving['url'] as string;
  return {
    child,
    events,
    ended,
    next,
    port: Number(new URL(url).port),
    /** Numbers of the processes that serve. */
    parts: childrenOf(child.pid!),
    ask: (path: string, method = 'GET') => askOnce(url + path, method),
    stop: async () => {
      child.kill('SIGTERM');
      return (await ended).code;
    },
  };
}

/** By a connection of its own, and so by another process than the last. */
function askOnce(url: string, method: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { method, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => {
        resolve({ status: response.statusCode!, text });
      });
    });
    asked.on('error', reject).end();
  });
}

/** Of the model, as the metrics count them. */
export function inferences(text: string): number {
  const counts = text.matchAll(/^maas_requests_total\{model="perceptron".*\} (\d+)$/gm);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}
