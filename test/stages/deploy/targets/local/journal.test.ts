import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  earlierReleases,
  orderReleases,
  readHistory,
  type Switch,
} from '../../../../../src/stages/deploy/targets/local/journal.js';
import { makeRoot } from '../../../../conformance/target-suite.js';

let root: string;
beforeAll(async () => {
  root = await makeRoot('maas-journal-');
});
afterAll(() => rm(root, { recursive: true, force: true }));

interface Step {
  readonly action: 'deploy' | 'rollback';
  readonly release: number;
  /** Killed between the line and the switch. */
  readonly killed: boolean;
}

const steps = fc.array(
  fc.record<Step>({
    action: fc.constantFrom('deploy', 'rollback'),
    release: fc.nat(4),
    killed: fc.boolean(),
  }),
  { maxLength: 25 },
);

/** What the journal is read back to, done here by keeping the stack at hand. */
function play(all: readonly Step[]) {
  const lines: Switch[] = [];
  const stack: string[] = [];
  for (const [index, { action, release, killed }] of all.entries()) {
    const current = stack.at(-1);
    const earlier = [...new Set(stack.slice(0, -1).reverse())].filter((digest) => digest !== current);
    const to = action === 'deploy' ? `r${release}` : earlier[release];
    if (to === undefined || to === current) continue;
    lines.push({
      at: new Date(index * 1000).toISOString(),
      by: 'me@here',
      action,
      from: current ?? null,
      to,
    });
    if (killed) continue;
    if (action === 'deploy') stack.push(to);
    else stack.length = stack.lastIndexOf(to) + 1;
  }
  return { lines, stack };
}

describe('the journal', () => {
  it('tells what became of every switch, whichever of them were killed before they happened', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const { lines, stack } = play(all);
        const file = join(root, 'history.jsonl');
        await writeFile(file, lines.map((line) => `\n${JSON.stringify(line)}`).join(''));
        const history = await readHistory(file, stack.at(-1), '2001-01-01T00:00:00.000Z');
        expect(history.stack).toEqual(stack);
        expect(earlierReleases(history)).not.toContain(stack.at(-1));
        const listed = orderReleases(['r0', 'r1', 'r2', 'r3', 'r4'], history);
        expect(listed.map(({ digest }) => digest).sort()).toEqual(['r0', 'r1', 'r2', 'r3', 'r4']);
        expect(listed.filter(({ current }) => current).map(({ digest }) => digest)).toEqual(stack.slice(-1));
      }),
    );
  });
});
