import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

const module = 'github.com/grpc-ecosystem/grpc-health-probe@v0.4.62';

/** In seconds, of one core for the most part. */
const longestBuild = 120;

/**
 * The probe that the gRPC project has for Kubernetes: the one on the PATH, else one that Go makes here, which stays until
 * the packages of the project are installed anew. Undefined, with the reason printed, without.
 */
export async function findProbe(): Promise<string | undefined> {
  for (const name of ['grpc-health-probe', 'grpc_health_probe']) {
    if (!(await execa(name, ['-version'], { reject: false })).failed) return name;
  }
  const folder = fileURLToPath(new URL('../../../../node_modules/.cache/grpc-health-probe', import.meta.url));
  const probe = join(folder, 'grpc-health-probe');
  if (existsSync(probe)) return probe;
  try {
    const env = { GOBIN: folder, GOTOOLCHAIN: 'local', GOFLAGS: '-trimpath', CGO_ENABLED: '0' };
    await execa('go', ['install', module], { env, timeout: 1000 * longestBuild });
    return probe;
  } catch (error) {
    const reason = (error as Error).message.split('\n')[0]!;
    console.warn(`skipped: no grpc-health-probe on the PATH, and none to be made with Go (${reason})`);
    return undefined;
  }
}
