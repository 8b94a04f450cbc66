#!/usr/bin/env node
// Stands in for systemctl where no systemd runs: starts and stops what a unit says, in the background, and writes down what it was asked.
import { spawn } from 'node:child_process';
import { appendFileSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const { FAKE_SYSTEMD: folder } = process.env;
const words = process.argv.slice(2).filter((word) => word !== '--user');
appendFileSync(join(folder, 'asked'), `${words.join(' ')}\n`);
const [verb, unit] = words;
const pidFile = join(folder, 'pid');
const running = () => {
  try {
    process.kill(Number(readFileSync(pidFile, 'utf8')), 0);
    return true;
  } catch {
    return false;
  }
};
if (verb === 'restart' && running()) process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGTERM');
if (verb === 'restart' || (verb === 'start' && !running())) {
  const text = readFileSync(join(folder, unit), 'utf8');
  const [program, ...args] = /^ExecStart=(.*)$/m.exec(text)[1].split(' ');
  const log = openSync(join(folder, 'log'), 'a');
  const cwd = /^WorkingDirectory=(.*)$/m.exec(text)[1];
  const child = spawn(program, args, { cwd, detached: true, stdio: ['ignore', log, log] });
  writeFileSync(pidFile, String(child.pid));
  child.unref();
}
