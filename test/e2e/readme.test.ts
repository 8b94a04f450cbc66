import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { maas, makeProject, root } from './maas.js';

const readme = await readFile(join(root, 'README.md'), 'utf8');
const blocks = (language: string) =>
  [...readme.matchAll(new RegExp('```' + language + '\n([\\s\\S]*?)```', 'g'))].map((match) => match[1]!);

it('shows the two commands, each to be pasted as it is', () => {
  expect(blocks('sh')).toContain('npm ci && npx maas run\n');
  expect(blocks('sh')).toContain('npm test\n');
});

it('shows a config that works', async () => {
  const project = await makeProject();
  try {
    await writeFile(join(project.path, 'maas.config.yaml'), blocks('yaml')[0]!);
    const { code, stdout, stderr } = await maas(project.path, ['run', '--dry-run']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^train .*\ncompress .*\ndeploy /m);
  } finally {
    await project.remove();
  }
});

it('names flags and commands that there are', async () => {
  const commands = [...new Set([...readme.matchAll(/`(?:npx )?maas ([a-z]+)/g)].map((match) => match[1]!))];
  expect(commands.length).toBeGreaterThan(5);
  const help = await Promise.all(commands.map((command) => maas(root, [command, '--help'])));
  help.forEach(({ code }, index) => {
    expect(code, commands[index]).toBe(0);
  });
  const known = help.map(({ stdout }) => stdout).join('\n');
  const flags = [...new Set([...readme.matchAll(/`(--[a-z-]+)/g)].map((match) => match[1]!))];
  expect(flags.filter((flag) => !known.includes(flag))).toEqual([]);
});
