// Run on a host of a training, by its launcher: prints what is there, as one line of JSON after `mark`.
import { arch } from 'node:os';
import { joinRanks } from '../../../runtime/mpi/join-ranks.js';
import { loadMpi, type MpiName } from '../../../runtime/mpi/library.js';
import { readToolchain } from '../../toolchain.js';
import { mark, type Probe } from './hosts.js';

const name = process.argv[2] as MpiName;
const here = { node: process.versions.node, arch: arch(), ...readToolchain() };
const say = (probe: Probe): void => {
  console.log(`${mark}${JSON.stringify(probe)}`);
};
try {
  const mpi = await loadMpi(name);
  const ranks = joinRanks(mpi);
  say({ ...here, mpi: mpi.version(), size: ranks.size });
  ranks.close();
} catch (error) {
  say({ ...here, error: (error as Error).message });
}
