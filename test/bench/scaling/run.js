// `npm run bench:scaling`: the time of a step on several ranks of this machine, in its parts, next to PyTorch's DDP over
// Gloo: the same network and batch of all ranks together. Rounds of both are interleaved; figures are medians.
//   --json             prints one object instead of tables
//   --python PATH      a Python with torch; without it a virtual environment is made beside the temporary files
//   --ranks 1,2,4      --millions 1,10,25      --rounds 3      --steps 12
//   --tcp              ranks talk by TCP alone, as between hosts; Gloo always does
//   --project          what follows for 64 to 1,024 ranks of one weak scaling, from the costs that were measured
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildIfStale } from '../../../bin/build.js';
import { median } from './median.js';
import { fitCosts, project } from './project.js';

const { values: flags } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    python: { type: 'string' },
    ranks: { type: 'string', default: '1,2,4' },
    millions: { type: 'string', default: '1,10,25' },
    rounds: { type: 'string', default: '3' },
    steps: { type: 'string', default: '12' },
    tcp: { type: 'boolean', default: false },
    project: { type: 'boolean', default: false },
  },
});
const numbers = (text) => text.split(',').map(Number);
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const say = (text) => process.stderr.write(`${text}\n`);

/** Widths of dense layers with so many million weights. */
const networks = {
  1: [256, 640, 640, 640, 10],
  10: [784, 2048, 2048, 2048, 10],
  25: [784, 2900, 2900, 2900, 2000, 10],
};
/** Rows of all ranks together. */
const batch = 64;

/** A Python with PyTorch: the one given, or an environment made from PyPI, which stays for the next time. */
function findPython() {
  if (flags.python) return flags.python;
  const folder = join(tmpdir(), 'maas-bench-torch');
  const python = join(folder, 'bin', 'python');
  if (!existsSync(join(folder, 'ready'))) {
    say(`installing PyTorch into ${folder}`);
    execFileSync('python3', ['-m', 'venv', folder], { stdio: ['ignore', 2, 2] });
    execFileSync(python, ['-m', 'pip', 'install', '--quiet', 'torch', 'numpy'], { stdio: ['ignore', 2, 2] });
    writeFileSync(join(folder, 'ready'), '');
  }
  return python;
}

/** The figures that one of the commands prints, once all have ended. */
async function collect(commands) {
  const ends = commands.map(
    ([program, ...args]) =>
      new Promise((resolve, reject) => {
        const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
        let text = '';
        for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += chunk));
        child.on('error', reject);
        child.on('close', (code) =>
          code === 0 ? resolve(text) : reject(new Error(`${program} ended with ${code}\n${text}`)),
        );
      }),
  );
  const text = (await Promise.all(ends)).join('\n');
  return JSON.parse(/^result (.*)$/m.exec(text)[1]);
}

function runOurs(spec, size) {
  const asRoot = process.getuid?.() === 0 ? ['--allow-run-as-root'] : [];
  const way = flags.tcp ? ['--mca', 'pml', 'ob1', '--mca', 'btl', 'self,tcp'] : [];
  const words = [
    ...asRoot,
    '--oversubscribe',
    '--bind-to',
    'none',
    '--mca',
    'mpi_yield_when_idle',
    '1',
    ...way,
  ];
  return collect([['mpirun', ...words, '-n', String(size), process.execPath, here('rank.js'), spec]]);
}

let port = 29_000 + (process.pid % 1000);
function runPeer(python, spec, size) {
  port += 1;
  const args = (rank) => [python, here('rank.py'), spec, String(rank), String(size), String(port)];
  return collect(Array.from({ length: size }, (_, rank) => args(rank)));
}

async function compare(millions, size, python) {
  const spec = JSON.stringify({ widths: networks[millions], batch, steps: Number(flags.steps), skipped: 3 });
  const found = { ours: [], peer: [] };
  for (let round = 0; round < Number(flags.rounds); round++) {
    found.ours.push(await runOurs(spec, size));
    found.peer.push(await runPeer(python, spec, size));
  }
  const middle = (side, key) => median(found[side].map((figures) => figures[key]));
  const parts = (side) =>
    Object.fromEntries(
      ['step', 'compute', 'wait', 'communicate', 'allReduce'].map((key) => [key, middle(side, key)]),
    );
  const ratio = (key) => median(found.ours.map((figures, round) => figures[key] / found.peer[round][key]));
  return {
    parameters: found.ours[0].parameters,
    ranks: size,
    ours: { ...parts('ours'), oneByOne: middle('ours', 'oneByOne'), atOnce: middle('ours', 'atOnce') },
    peer: parts('peer'),
    ratios: { step: ratio('step'), allReduce: ratio('allReduce') },
  };
}

await buildIfStale(new URL('../../..', import.meta.url));
const python = findPython();
const rows = [];
for (const millions of numbers(flags.millions)) {
  for (const size of numbers(flags.ranks)) {
    say(`${millions} M weights, ${size} rank${size === 1 ? '' : 's'}`);
    rows.push(await compare(millions, size, python));
  }
}
const machine = {
  cpu: `${cpus().length} × ${cpus()[0].model}`,
  load: loadavg()[0],
  node: process.versions.node,
};
const costs = flags.project ? fitCosts(rows) : undefined;
const projection = costs && project(rows, costs);
if (flags.json) {
  console.log(JSON.stringify({ machine, batch, rows, ...(costs && { costs, projection }) }));
} else {
  console.log(
    `${machine.cpu}, load ${machine.load.toFixed(1)}; a batch of ${batch} rows; milliseconds a step`,
  );
  const head = ['weights', 'ranks', 'of', 'step', 'compute', 'wait', 'communicate', 'all-reduce'];
  const line = (cells) => console.log(cells.map((cell) => String(cell).padStart(11)).join(' '));
  line(head);
  const cells = ({ step, compute, wait, communicate, allReduce }) =>
    [step, compute, wait, communicate, allReduce].map((time) => time.toFixed(2));
  for (const { parameters, ranks, ours, peer, ratios } of rows) {
    line([parameters, ranks, 'maas', ...cells(ours)]);
    line([parameters, ranks, 'DDP', ...cells(peer)]);
    line(['', '', 'ratio', ratios.step.toFixed(2), '', '', '', ratios.allReduce.toFixed(2)]);
  }
  console.log('\nForward of the network and a sum of all its gradients, one after the other and at a time');
  line(['weights', 'ranks', 'apart', 'together']);
  for (const { parameters, ranks, ours } of rows.filter(({ ranks }) => ranks > 1)) {
    line([parameters, ranks, ours.oneByOne.toFixed(2), ours.atOnce.toFixed(2)]);
  }
  if (projection) {
    console.log(
      `\nα ${costs.alpha.toFixed(3)} ms a message, β ${costs.beta.toFixed(3)} ms a MB; weak scaling`,
    );
    line(['weights', 'ranks', 'compute', 'all-reduce', 'efficiency']);
    for (const { parameters, ranks, compute, allReduce, efficiency } of projection) {
      line([
        parameters,
        ranks,
        compute.toFixed(1),
        allReduce.toFixed(1),
        `${Math.round(100 * efficiency)} %`,
      ]);
    }
  }
}
