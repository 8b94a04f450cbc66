import { expect, it } from 'vitest';
import { maasJson, makeProject, serve, type RunJson } from './maas.js';

it(
  'deploys a project whose server asks for keys, and lets in who has one',
  { timeout: 120_000 },
  async () => {
    const project = await makeProject();
    try {
      const key = '"${MAAS_TEST_KEY:-0123456789abcdef}"';
      const secured = `serve:\n  keys: [${key}]\n  tls: { cert: none.crt, key: none.key }`;
      await project.edit('maas.config.yaml', /^serve:/m, secured);
      // The release is tried without both: the certificate is another machine's matter.
      expect((await maasJson<RunJson>(project.path, ['run'])).status).toBe('done');
      await project.edit('maas.config.yaml', / {2}tls: .*\n/, '');
      const server = await serve(project.path);
      const ask = async (headers: Record<string, string>): Promise<number> =>
        (await fetch(`${server.url}/openapi.json`, { headers })).status;
      expect(await ask({})).toBe(401);
      expect(await ask({ authorization: 'Bearer 0123456789abcdeX' })).toBe(403);
      expect(await ask({ authorization: 'Bearer 0123456789abcdef' })).toBe(200);
      expect((await server.stop()).code).toBe(0);
    } finally {
      await project.remove();
    }
  },
);
