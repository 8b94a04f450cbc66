import { expect, it } from 'vitest';
import { attr, type Graph, type Model } from '../../src/ir/graph.js';
import { printModel } from '../../src/ir/print.js';
import { int64s, stringTensor, tensor } from '../../src/ir/tensor.js';

it('prints a graph, its constants and its subgraphs', () => {
  const branch: Graph = {
    name: 'then',
    inputs: [],
    outputs: [{ name: 'r' }],
    initializers: new Map(),
    nodes: [{ op: 'Relu', domain: '', name: 'relu', inputs: ['h'], outputs: ['r'], attributes: {} }],
    values: new Map(),
  };
  const model: Model = {
    irVersion: 10,
    opsets: { '': 21, 'ai.onnx.ml': 3 },
    producer: 'maas',
    metadata: {},
    graph: {
      name: 'main',
      inputs: [{ name: 'x', dtype: 'float32', shape: ['N', '', 4] }],
      outputs: [
        { name: 'y', dtype: 'float32', shape: ['N', 3] },
        { name: 's', opaqueType: Uint8Array.of(1) },
      ],
      initializers: new Map([
        ['w', tensor('float32', [4, 3], new Float32Array(12))],
        ['axes', int64s([0, 1])],
        ['labels', stringTensor([1], ['a "b"'])],
        ['far', { dtype: 'float32', dims: [2], data: { path: 'x', offset: 0, length: 8 } }],
      ]),
      nodes: [
        {
          op: 'Gemm',
          domain: '',
          name: 'g',
          inputs: ['x', 'w', ''],
          outputs: ['h', ''],
          attributes: { transB: attr.int(0), alpha: attr.float(0.5), how: attr.string('fast') },
        },
        {
          op: 'If',
          domain: 'com.example',
          name: 'i',
          inputs: ['c'],
          outputs: ['y'],
          attributes: { then_branch: attr.graph(branch), axes: attr.ints([1, 2]) },
        },
      ],
      values: new Map([['h', { name: 'h', dtype: 'float32', shape: ['N', 3] }]]),
    },
  };
  expect(printModel(model)).toBe(`model ir 10, opset 21, ai.onnx.ml 3
graph main(x: float32[N, ?, 4]) -> (y: float32[N, 3], s: opaque)
  const w: float32[4, 3] sha256:17b0761f87b0
  const axes: int64[2] = [0, 1]
  const labels: string[1] = ["a \\"b\\""]
  const far: float32[2] on disk, 8 bytes
  h: float32[N, 3], _ = Gemm(x, w, _) {alpha: 0.5, how: "fast", transB: 0}
  y: float32[N, 3] = com.example.If(c) {axes: [1, 2]}
    then_branch:
      graph then() -> (r)
        r = Relu(h)
`);
});
