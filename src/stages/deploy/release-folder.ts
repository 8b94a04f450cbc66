import { damageOf, readArtifact } from '../../artifacts/verify.js';

/** Reads every byte of a release. @throws MaasError MAAS_ARTIFACT_CORRUPT when it is not whole. */
export async function checkRelease(path: string): Promise<void> {
  await readArtifact('deploy', path, true);
}

export async function isWhole(path: string): Promise<boolean> {
  try {
    await checkRelease(path);
    return true;
  } catch (error) {
    if (damageOf(error) === undefined) throw error;
    return false;
  }
}
