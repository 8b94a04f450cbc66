import { createPrivateKey, createSign, randomUUID } from 'node:crypto';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { delimiter, join } from 'node:path';
import { text as readText } from 'node:stream/consumers';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Release, TargetContext } from '../../../../../src/plugin/api.js';
import { makeOciTarget } from '../../../../../src/stages/deploy/targets/oci/index.js';
import { deploy, makeContext, makePlainRelease, makeRoot } from '../../../../conformance/target-suite.js';
import { hasProgram, startRegistry } from './registry-server.js';
import { tinyParts } from './tiny-parts.js';

const target = makeOciTarget(tinyParts);
const user = 'me';
/** A colon belongs to the password: only the first one ends the name. */
const password = 'secret:word';
/** bcrypt of the password, as htpasswd -B writes it. */
const htpasswd = `${user}:$2b$04$j6PIz.v/HLZYRYOWKro8Ue5csN1KgIkl90.7Wm4goM79vtMTcKYMi\n`;
/** What an identity provider gives instead of a password. */
const identity = 'refresh-me';
const basic = (secret: string) => Buffer.from(`${user}:${secret}`).toString('base64');

let root: string;
let release: Release;
let path: string | undefined;
beforeAll(async () => {
  root = await makeRoot('maas-auth-');
  release = await makePlainRelease(root, 'a');
  path = process.env['PATH'];
});
afterAll(async () => {
  process.env['PATH'] = path;
  await rm(root, { recursive: true, force: true });
});

/** A context whose docker config says `logins`. */
async function contextWith(image: string, logins: object): Promise<TargetContext> {
  const id = randomUUID();
  await writeFile(join(root, `${id}.json`), JSON.stringify(logins));
  const options = target.options.parse({ image, directory: id, dockerConfig: `${id}.json` });
  return makeContext(root, options);
}

/** Puts `docker-credential-NAME` on the PATH: it answers to `get` as `script` (for sh, with the host in $host) says. */
async function installHelper(name: string, script: string): Promise<void> {
  const folder = join(root, 'bin');
  await mkdir(folder, { recursive: true });
  const file = join(folder, `docker-credential-${name}`);
  await writeFile(file, `#!/bin/sh\n[ "$1" = get ] || exit 2\nread -r host\n${script}\n`);
  await chmod(file, 0o755);
  process.env['PATH'] = `${folder}${delimiter}${path ?? ''}`;
}

describe.skipIf(!hasProgram('docker-registry'))('a registry with a password', { timeout: 60_000 }, () => {
  let registry: Awaited<ReturnType<typeof startRegistry>>;
  const refused = { code: 'MAAS_REGISTRY', hint: expect.stringContaining('docker login') as string };

  beforeAll(async () => {
    const folder = join(root, 'basic');
    await mkdir(folder);
    await writeFile(join(folder, 'htpasswd'), htpasswd);
    registry = await startRegistry(
      folder,
      `auth: {htpasswd: {realm: here, path: ${join(folder, 'htpasswd')}}}`,
    );
  });
  afterAll(() => registry.stop());

  it.each([
    ['auth', () => ({ auth: basic(password) })],
    ['a name and a password', () => ({ username: user, password })],
  ])('takes the login that the docker config holds as %s', async (_, entry) => {
    const context = await contextWith(`${registry.host}/a`, { auths: { [registry.host]: entry() } });
    await deploy(target, context, release);
    expect(await target.current(context)).toBe(release.digest);
  });

  it('takes the login that a credential helper gives', async () => {
    await installHelper(
      'good',
      `[ "$host" = "${registry.host}" ] || exit 1; echo '{"ServerURL":"'$host'","Username":"${user}","Secret":"${password}"}'`,
    );
    for (const logins of [{ credHelpers: { [registry.host]: 'good' } }, { credsStore: 'good' }]) {
      const context = await contextWith(`${registry.host}/b`, logins);
      await deploy(target, context, release);
      expect(await target.current(context)).toBe(release.digest);
    }
  });

  it('refuses a wrong login once, and one that is missing', async () => {
    for (const logins of [{}, { auths: { [registry.host]: { auth: basic('wrong') } } }]) {
      const context = await contextWith(`${registry.host}/c`, logins);
      await expect(deploy(target, context, release)).rejects.toMatchObject(refused);
    }
  });

  it('names a helper that fails, that is not there, or that talks nonsense', async () => {
    await installHelper('broken', 'echo "the keychain is locked" >&2; exit 1');
    await installHelper('odd', 'echo hello');
    await installHelper('empty', 'echo "credentials not found in native keychain"; exit 1');
    const attempt = async (helper: string) =>
      deploy(
        target,
        await contextWith(`${registry.host}/d`, { credHelpers: { [registry.host]: helper } }),
        release,
      );
    await expect(attempt('broken')).rejects.toMatchObject({
      code: 'MAAS_REGISTRY',
      message: expect.stringContaining('the keychain is locked') as string,
    });
    await expect(attempt('missing')).rejects.toMatchObject({
      code: 'MAAS_REGISTRY',
      message: expect.stringContaining('docker-credential-missing') as string,
    });
    await expect(attempt('odd')).rejects.toMatchObject({
      code: 'MAAS_REGISTRY',
      message: expect.stringContaining('docker-credential-odd') as string,
    });
    await expect(attempt('empty')).rejects.toMatchObject(refused);
  });
});

describe.skipIf(!hasProgram('docker-registry') || !hasProgram('openssl'))(
  'a registry that leaves logins to a token server',
  { timeout: 60_000 },
  () => {
    let registry: Awaited<ReturnType<typeof startRegistry>>;
    let tokens: Server;
    let key: string;
    let certificate: string;
    let asked: string[];
    let lifetime: number;
    let reader: string;

    beforeAll(async () => {
      const folder = join(root, 'token');
      await mkdir(folder);
      const keyFile = join(folder, 'key.pem');
      const bundle = join(folder, 'cert.pem');
      const words = `req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tokens -keyout ${keyFile} -out ${bundle}`;
      await execa('openssl', words.split(' '));
      key = await readFile(keyFile, 'utf8');
      certificate = (await readFile(bundle, 'utf8')).replace(/-----[^-]*-----|\s/g, '');
      asked = [];
      lifetime = 300;
      reader = '';
      tokens = createServer((request, response) => void answer(request, response));
      const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
        asked.push(request.url!);
        if (request.method === 'POST') {
          const form = new URLSearchParams(await readText(request));
          if (form.get('grant_type') !== 'refresh_token' || form.get('refresh_token') !== identity) {
            response.writeHead(401).end();
            return;
          }
          response.end(JSON.stringify({ access_token: signToken(grant(form.get('scope'))) }));
          return;
        }
        const login = request.headers.authorization;
        if (login !== `Basic ${basic(password)}`) {
          response.writeHead(login === undefined ? 403 : 401).end();
          return;
        }
        const scope = new URL(request.url!, 'http://x').searchParams.get('scope');
        response.end(JSON.stringify({ token: signToken(grant(scope)) }));
      };
      await new Promise<void>((resolve) => tokens.listen(0, '127.0.0.1', resolve));
      const realm = `http://127.0.0.1:${(tokens.address() as AddressInfo).port}/token`;
      registry = await startRegistry(
        folder,
        `auth: {token: {realm: '${realm}', service: here, issuer: tests, rootcertbundle: ${bundle}}}`,
      );
    });
    afterAll(async () => {
      await registry.stop();
      tokens.closeAllConnections();
      tokens.close();
    });

    function grant(scope: string | null): object[] {
      const [type, name, actions = ''] = (scope ?? '').split(':');
      const granted = actions.split(',').filter((action) => name !== reader || action === 'pull');
      return [{ type, name, actions: granted }];
    }

    /** A JWT as docker's token specification has it (distribution/docs/spec/auth/jwt.md). */
    function signToken(access: readonly object[]): string {
      const now = Math.floor(Date.now() / 1000);
      const claims = { iss: 'tests', sub: user, aud: 'here', jti: randomUUID(), access };
      const times = { iat: now, nbf: now - 1, exp: now + lifetime };
      const text = [
        { typ: 'JWT', alg: 'RS256', x5c: [certificate] },
        { ...claims, ...times },
      ]
        .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
        .join('.');
      return `${text}.${createSign('sha256').update(text).sign(createPrivateKey(key), 'base64url')}`;
    }

    const login = () => ({ auths: { [registry.host]: { auth: basic(password) } } });

    it('takes images with one token for reading and writing', async () => {
      const context = await contextWith(`${registry.host}/team/a`, login());
      await deploy(target, context, release);
      expect(await target.current(context)).toBe(release.digest);
      expect(asked[0]).toContain('scope=repository%3Ateam%2Fa%3Apull%2Cpush');
    });

    it('takes what single sign-on left, from the file and from a helper', async () => {
      await installHelper('sso', `echo '{"ServerURL":"x","Username":"<token>","Secret":"${identity}"}'`);
      for (const logins of [
        { auths: { [registry.host]: { auth: basic(''), identitytoken: identity } } },
        { credHelpers: { [registry.host]: 'sso' } },
      ]) {
        const context = await contextWith(`${registry.host}/team/${randomUUID()}`, logins);
        await deploy(target, context, release);
        expect(await target.current(context)).toBe(release.digest);
      }
      const wrong = { auths: { [registry.host]: { identitytoken: 'other' } } };
      await expect(
        deploy(target, await contextWith(`${registry.host}/team/sso`, wrong), release),
      ).rejects.toMatchObject({
        code: 'MAAS_REGISTRY',
        message: expect.stringContaining('no token') as string,
      });
    });

    it('goes on with a new token when one has run out in the middle of a deploy', async () => {
      // The registry allows a minute of difference between clocks.
      lifetime = -59;
      const context = await contextWith(`${registry.host}/team/b`, login());
      const steps = target.steps(context, release);
      try {
        for (const step of steps) {
          await step.run(() => undefined);
          await new Promise((resolve) => setTimeout(resolve, 400));
        }
      } finally {
        lifetime = 300;
      }
      expect(await target.current(context)).toBe(release.digest);
    });

    it('says so where the login may only read, and where there is none', async () => {
      reader = 'team/c';
      await expect(
        deploy(target, await contextWith(`${registry.host}/team/c`, login()), release),
      ).rejects.toMatchObject({ code: 'MAAS_REGISTRY' });
      await expect(
        deploy(target, await contextWith(`${registry.host}/team/d`, {}), release),
      ).rejects.toMatchObject({
        code: 'MAAS_REGISTRY',
        hint: expect.stringContaining('docker login') as string,
      });
    });
  },
);
