import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

const packages = [
  'tritonclient[http,grpc]',
  'kserve',
  'schemathesis',
  'grpcio-health-checking',
  'opentelemetry-proto',
];
/** One process for each: their messages have the same names. */
const imports = [
  'kserve, schemathesis, opentelemetry.proto.collector.trace.v1.trace_service_pb2',
  'grpc_health.v1.health_pb2, tritonclient.grpc, tritonclient.http',
];

/** In seconds: what takes longer is no test's business. */
const longestInstall = 240;

const knows = (python: string): boolean =>
  imports.every((names) => spawnSync(python, ['-c', `import ${names}`]).status === 0);

/**
 * A Python with the official clients of the protocols: the one that PYTHON names where it has them, else one made from
 * PyPI, which stays until the packages of the project are installed anew. Undefined, with the reason printed, without.
 */
export async function findPython(): Promise<string | undefined> {
  const named = process.env['PYTHON'];
  if (named !== undefined && knows(named)) return named;
  const folder = fileURLToPath(new URL('../../../../node_modules/.cache/serve-clients', import.meta.url));
  const python = join(folder, 'bin', 'python');
  if (existsSync(python) && knows(python)) return python;
  try {
    await mkdir(folder, { recursive: true });
    await execa('python3', ['-m', 'venv', folder]);
    await execa(python, ['-m', 'pip', 'install', '--quiet', ...packages], { timeout: 1000 * longestInstall });
    if (knows(python)) return python;
    throw new Error('they do not import');
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    console.warn(
      `skipped: no Python with ${packages.join(', ')}; name one in PYTHON (${(error as Error).message.split('\n')[0]!})`,
    );
    return undefined;
  }
}
