import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { MaasError } from '../../../../../errors.js';
import { download, isWhole, reasonOf, type Download } from './download.js';

/** A wheel whose libraries export TensorFlow's C API; nothing of it is Python's. */
export interface Wheel {
  readonly project: string;
  readonly version: string;
  readonly file: string;
  readonly sha256: string;
}

const wheels: Readonly<Record<string, Wheel>> = {
  'linux-x64': {
    project: 'tensorflow-cpu',
    version: '2.18.1',
    file: 'tensorflow_cpu-2.18.1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl',
    sha256: '810c75d7149d2da0cb2092187817b0dcabb80728ca9f9cf3a61f3f42fadd1298',
  },
};

/** The wheel for a machine such as `linux-x64`, if there is one that is known to work. */
export function wheelFor(machine: string): Wheel | undefined {
  return wheels[machine];
}

/** The Python package index, unless pip is told of another. */
const publicIndex = 'https://pypi.org/simple';

/**
 * Brings a wheel from the index that pip is configured to use, or, where Node.js does not get through (a proxy, a
 * certificate of one's own), by pip itself.
 * @returns its path.
 * @throws MaasError MAAS_DOWNLOAD when neither goes.
 */
export async function bringWheel(
  wheel: Wheel,
  folder: string,
  options: Pick<Download, 'signal' | 'onProgress'>,
): Promise<string> {
  const to = join(folder, wheel.file);
  if (await isWhole(to, wheel.sha256)) return to;
  try {
    const url = await findWheel(wheel, options.signal);
    await download({ url, sha256: wheel.sha256, to, ...options });
  } catch (error) {
    options.signal.throwIfAborted();
    await mkdir(folder, { recursive: true });
    if (!(await downloadWithPip(wheel, folder, options.signal))) throw error;
    if (!(await isWhole(to, wheel.sha256))) {
      throw new MaasError('MAAS_DOWNLOAD', `pip brought another ${wheel.file}: its digest does not match`, {
        cause: error,
      });
    }
  }
  return to;
}

/** Address of the wheel by the index's simple API, as JSON (PEP 691) or as a page of links (PEP 503). */
async function findWheel({ project, file }: Wheel, signal: AbortSignal): Promise<string> {
  const page = `${(await configuredIndex()).replace(/\/+$/, '')}/${project}/`;
  const accept = 'application/vnd.pypi.simple.v1+json, text/html;q=0.5';
  let text: string;
  let base: string;
  try {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(30_000)]);
    const response = await fetch(page, { headers: { accept }, signal: limit });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    base = response.url;
    text = await response.text();
  } catch (error) {
    throw new MaasError('MAAS_DOWNLOAD', `cannot read the package index ${page}: ${reasonOf(error)}`, {
      cause: error,
    });
  }
  const url = text.trimStart().startsWith('{') ? fromJson(text, file) : fromLinks(text, file);
  if (url === undefined) throw new MaasError('MAAS_DOWNLOAD', `the package index ${page} has no ${file}`);
  return new URL(url, base).href;
}

function fromJson(text: string, file: string): string | undefined {
  const { files } = JSON.parse(text) as { files: { filename: string; url: string }[] };
  return files.find(({ filename }) => filename === file)?.url;
}

function fromLinks(text: string, file: string): string | undefined {
  const links = [...text.matchAll(/href="([^"#]+)(?:#[^"]*)?"/g)].map(([, url]) => url!);
  return links.find((url) => decodeURIComponent(url).endsWith(`/${file}`));
}

/** What pip has in its environment or files. */
async function configuredIndex(): Promise<string> {
  const { stdout, failed } = await runPip(['config', 'list']);
  const found = failed ? undefined : /^(?:global|:env:|install|download)\.index-url='(.+)'$/m.exec(stdout);
  return found?.[1] ?? publicIndex;
}

async function downloadWithPip(
  { project, version }: Wheel,
  folder: string,
  signal: AbortSignal,
): Promise<boolean> {
  const platform = ['--python-version', '3.11', '--platform', 'manylinux2014_x86_64'];
  const { failed } = await runPip(
    ['download', '--quiet', '--no-deps', '--only-binary=:all:', ...platform].concat(
      '--dest',
      folder,
      `${project}==${version}`,
    ),
    signal,
  );
  return !failed;
}

async function runPip(
  words: readonly string[],
  signal?: AbortSignal,
): Promise<{ readonly stdout: string; readonly failed: boolean }> {
  const { stdout, failed } = await execa('python3', ['-m', 'pip', ...words], {
    reject: false,
    ...(signal && { cancelSignal: signal }),
  });
  return { stdout: stdout ?? '', failed };
}
