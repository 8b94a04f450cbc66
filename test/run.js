// `npm test`: every check, with its outcome, and a last line `N passed, N failed`.
// A check counts as one; the tests count as many as vitest ran. `npm run test:slow`: the tests that take minutes, alone.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'maas-test-'));
const report = join(scratch, 'vitest.json');
const totals = { passed: 0, failed: 0, skipped: 0 };
const [slow, ...passedOn] =
  process.argv[2] === '--slow' ? process.argv.slice(2) : ['', ...process.argv.slice(2)];

const checks = [
  { title: 'type-check', script: 'typescript/bin/tsc', args: ['-p', 'test/tsconfig.json'] },
  {
    title: 'lint',
    script: 'oxlint/bin/oxlint',
    args: ['--type-aware', '--deny-warnings', '--report-unused-disable-directives'],
  },
  { title: 'format', script: 'oxfmt/bin/oxfmt', args: ['--check'] },
];
// One core each: together they take as long as the longest of them.
const outcomes = (slow ? [] : checks).map((check) => ({
  ...check,
  outcome: run(check.script, check.args, 'pipe'),
}));
for (const check of outcomes) {
  const { code, output, seconds } = await check.outcome;
  const ok = code === 0;
  totals[ok ? 'passed' : 'failed']++;
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${check.title} (${seconds} s)`);
  if (!ok) console.log(output.trimEnd());
}

const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
const tests = await run(
  'vitest/vitest.mjs',
  ['run', '--config', `test/vitest${slow && '.slow'}.config.ts`, ...reporters, ...passedOn],
  'inherit',
);
const counts = count();
console.log(`${tests.code === 0 ? 'ok    ' : 'FAILED'} tests (${tests.seconds} s)`);
for (const key of Object.keys(totals)) totals[key] += counts[key];
// An error outside of every test fails the run all the same.
if (tests.code !== 0 && counts.failed === 0) totals.failed++;

rmSync(scratch, { recursive: true, force: true });
const { passed, failed, skipped } = totals;
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed === 0 ? 0 : 1;

/** Runs a script of a dependency, by path: `npx` would cost a second each. */
function run(script, args, stdio) {
  const started = Date.now();
  return new Promise((resolve) => {
    const path = join(root, 'node_modules', ...script.split('/'));
    const child = spawn(process.execPath, [path, ...args], { cwd: root, stdio: ['ignore', stdio, stdio] });
    let output = '';
    child.stdout?.on('data', (chunk) => (output += chunk));
    child.stderr?.on('data', (chunk) => (output += chunk));
    child.on('close', (code) =>
      resolve({ code, output, seconds: ((Date.now() - started) / 1000).toFixed(1) }),
    );
  });
}

function count() {
  try {
    const json = JSON.parse(readFileSync(report, 'utf8'));
    // A file that cannot even be loaded has no tests to count.
    const broken = json.testResults.filter(
      (file) => file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed'),
    );
    return {
      passed: json.numPassedTests,
      failed: json.numFailedTests + broken.length,
      skipped: json.numPendingTests + json.numTodoTests,
    };
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
}
