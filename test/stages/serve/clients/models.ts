import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GraphBuilder } from '../../../../src/ir/builder.js';
import { encodeModel } from '../../../../src/ir/onnx/save.js';
import type { DType } from '../../../../src/ir/tensor.js';

/** By the names that the Open Inference Protocol gives them. */
const types: Readonly<Record<string, DType>> = {
  BOOL: 'bool',
  UINT8: 'uint8',
  UINT16: 'uint16',
  UINT32: 'uint32',
  UINT64: 'uint64',
  INT8: 'int8',
  INT16: 'int16',
  INT32: 'int32',
  INT64: 'int64',
  FP16: 'float16',
  FP32: 'float32',
  FP64: 'float64',
  BYTES: 'string',
};

/** A folder of models: echoes with an input and an output for each type, and one that doubles numbers. */
export async function writeModels(folder: string, release?: string): Promise<void> {
  await write(folder, 'echo', echo(Object.keys(types)));
  await write(folder, 'some', echo(['FP32', 'INT64', 'BYTES', 'FP16']));
  await write(folder, 'few', echo(['FP32', 'INT64', 'BYTES']));
  await write(folder, 'double', double());
  if (release === undefined) return;
  await mkdir(join(folder, 'flowers'));
  await symlink(release, join(folder, 'flowers', '1'));
}

async function write(folder: string, name: string, graph: GraphBuilder): Promise<void> {
  const version = join(folder, name, '1');
  await mkdir(version, { recursive: true });
  const model = { irVersion: 10, opsets: { '': 21 }, producer: 'test', graph: graph.build(), metadata: {} };
  await writeFile(join(version, 'model.onnx'), encodeModel(model));
}

function echo(names: readonly string[]): GraphBuilder {
  const graph = new GraphBuilder('echo');
  for (const name of names) {
    graph.input(name, types[name], ['N', 2]);
    graph.output(name, `${name}_out`);
  }
  return graph;
}

function double(): GraphBuilder {
  const graph = new GraphBuilder('double');
  graph.input('x', 'float32', ['N', 2]);
  graph.output(graph.op('Add', ['x', 'x']), 'y');
  return graph;
}
