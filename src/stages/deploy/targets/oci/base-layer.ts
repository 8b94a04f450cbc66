import { rootCertificates } from 'node:tls';
import { MaasError } from '../../../../errors.js';
import { findLibraries } from './elf.js';
import type { LayerFile } from './tar-layer.js';

/** Nobody: an account that owns nothing. */
export const user = 65532;

const accounts = {
  'etc/passwd': `root:x:0:0:root:/:/sbin/nologin\nnonroot:x:${user}:${user}:nonroot:/tmp:/sbin/nologin\n`,
  'etc/group': `root:x:0:\nnonroot:x:${user}:\n`,
  'etc/nsswitch.conf': 'hosts: files dns\n',
};

/**
 * What an image needs below the server when it is built on nothing: this very Node, the shared libraries that it and the
 * native modules load, root certificates, two accounts.
 * @param natives Native modules whose libraries are needed too.
 * @throws MaasError MAAS_RUNTIME when this is not Linux.
 */
export async function collectBase(natives: readonly string[]): Promise<LayerFile[]> {
  if (process.platform !== 'linux') {
    throw new MaasError(
      'MAAS_RUNTIME',
      'images are built from the Node that runs, and this one is not for Linux',
      {
        hint: 'Run `maas deploy` on Linux or in a Linux container.',
      },
    );
  }
  const libraries = await findLibraries([process.execPath, ...natives]);
  return [
    { path: 'usr/local/bin/node', from: process.execPath, executable: true },
    ...libraries.map((path) => ({ path: path.slice(1), from: path, executable: true })),
    ...Object.entries(accounts).map(([path, text]) => ({ path, from: Buffer.from(text) })),
    // Node's own list: the same on every machine with this Node.
    { path: 'etc/ssl/certs/ca-certificates.crt', from: Buffer.from(`${rootCertificates.join('\n')}\n`) },
  ];
}
