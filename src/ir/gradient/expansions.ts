import { attr, numberAttribute, numbersAttribute } from '../graph.js';
import { cast, type Expansion, type Expansions, type GradientSite } from './rule.js';

/** What takes no part in a softmax: the lowest number, for which exp is 0. */
const nothing = -3.4e38;

interface Scores {
  /** Default 1/√head size. */
  readonly scale: number;
  /** Is added to the scores. */
  readonly bias?: string | undefined;
  /** Truth values: which scores count. */
  readonly mask?: string | undefined;
  readonly causal?: boolean;
  /** Bounds the scores by ±softcap: before any is left out, or after that. */
  readonly softcap?: number;
  readonly capsFirst?: boolean;
  /** What scores that do not count become. */
  readonly filter?: number;
}

/** softmax(q·kᵀ·scale + bias)·v (Vaswani et al., arXiv:1706.03762) of [N, heads, steps, size] each. */
function attend(site: GradientSite, q: string, k: string, v: string, scores: Scores): string {
  const { g } = site;
  const { scale, bias, mask, causal = false, softcap = 0, capsFirst = false, filter = nothing } = scores;
  const turned = g.op('Transpose', [k], { perm: attr.ints([0, 1, 3, 2]) });
  let x = site.mul(g.op('MatMul', [q, turned]), site.number(scale));
  const except = (keep: string): string => g.op('Where', [keep, x, site.number(filter)]);
  const cap = (): void => {
    if (softcap === 0) return;
    const bound = site.number(softcap);
    x = site.mul(g.op('Tanh', [site.div(x, bound)]), bound);
  };
  if (capsFirst) cap();
  if (bias) x = site.add(x, bias);
  if (mask) x = except(mask);
  if (causal) {
    const steps = (name: string): string => {
      const count = g.op('Gather', [g.op('Shape', [name]), g.scalar(2, 'int64')]);
      return g.op('Range', [g.scalar(0, 'int64'), count, g.scalar(1, 'int64')]);
    };
    x = except(g.op('LessOrEqual', [steps(k), g.op('Unsqueeze', [steps(q), g.int64s([1])])]));
  }
  if (!capsFirst) cap();
  return g.op('MatMul', [g.op('Softmax', [x], { axis: attr.int(-1) }), v]);
}

/** [N, steps, heads·size] → [N, heads, steps, size] */
function split({ g }: GradientSite, x: string, heads: number): string {
  const parted = g.op('Reshape', [x, g.int64s([0, 0, heads, -1])]);
  return g.op('Transpose', [parted], { perm: attr.ints([0, 2, 1, 3]) });
}

/** The way back. */
function merge({ g }: GradientSite, x: string): string {
  return g.op('Reshape', [g.op('Transpose', [x], { perm: attr.ints([0, 2, 1, 3]) }), g.int64s([0, 0, -1])]);
}

function scaleOf(site: GradientSite, width: number | string | undefined, heads: number): number {
  const given = numberAttribute(site.node, 'scale', 0);
  if (given !== 0) return given;
  if (typeof width !== 'number') return site.refuse('the size of its heads is not known');
  return 1 / Math.sqrt(width / heads);
}

/** Each head of the keys [N, from, steps, size] stands for as many of the queries: [N, to, steps, size]. */
function shareKeys({ g }: GradientSite, x: string, from: number, to: number): string {
  if (Number.isNaN(to) || from === to) return x;
  const each = Array.from({ length: to }, (_, head) => Math.floor((head * from) / to));
  return g.op('Gather', [x, g.int64s(each)], { axis: attr.int(1) });
}

/** ai.onnx Attention, operator set 23. */
const attention: Expansion = (site) => {
  const { node, x } = site;
  if (site.has(4) || site.has(5) || site.has(6)) site.refuse('it goes on from former keys and values');
  if (node.outputs.slice(1).some(Boolean)) site.refuse('its further outputs are read');
  const dims = site.dims(0);
  const isFlat = dims.length === 3;
  const heads = isFlat ? numberAttribute(node, 'q_num_heads', 1) : Number(dims[1]);
  const keyHeads = isFlat ? numberAttribute(node, 'kv_num_heads', heads) : Number(site.dims(1)[1]);
  const softcap = numberAttribute(node, 'softcap', 0);
  if (softcap !== 0 && site.has(3)) site.refuse('it has both a mask and a softcap');
  const part = (index: number, count: number): string => (isFlat ? split(site, x[index]!, count) : x[index]!);
  const shared = (index: number): string => shareKeys(site, part(index, keyHeads), keyHeads, heads);
  const isMask = site.dtype(3) === 'bool';
  const y = attend(site, part(0, heads), shared(1), shared(2), {
    scale: scaleOf(site, dims.at(-1), isFlat ? heads : 1),
    causal: numberAttribute(node, 'is_causal', 0) === 1,
    softcap,
    ...(site.has(3) && (isMask ? { mask: x[3] } : { bias: x[3] })),
  });
  return [isFlat ? merge(site, y) : y];
};

/** [N, S] of whole numbers, 1 where a key counts → truth values [N, 1, 1, S] */
function keyMask(site: GradientSite, index: number): { mask?: string; filter: number } {
  const filter = numberAttribute(site.node, 'mask_filter_value', -10000);
  if (!site.has(index)) return { filter };
  if (site.dims(index).length !== 2) site.refuse('its mask is not [rows, keys]');
  const { g, x } = site;
  return { mask: cast(g, g.op('Unsqueeze', [x[index]!, g.int64s([1, 2])]), 'bool'), filter };
}

const isCausal = (site: GradientSite): boolean => numberAttribute(site.node, 'unidirectional', 0) === 1;

/** What onnxruntime's transformer optimizer writes. */
const multiHeadAttention: Expansion = (site) => {
  const { g, node, x } = site;
  if (site.has(6) || site.has(7)) site.refuse('it goes on from former keys and values');
  if (!site.has(1) || !site.has(2)) site.refuse('its queries, keys and values are packed together');
  if ([0, 1, 2].some((index) => site.dims(index).length !== 3))
    site.refuse('its keys are not [rows, keys, width]');
  const heads = numberAttribute(node, 'num_heads', 1);
  const widths = [0, 1, 2].map((index) => site.dims(index)[2]!);
  const known = widths.filter((width) => typeof width === 'number');
  if (site.has(3) && known.length < 3) site.refuse('its widths are not known');
  let offset = 0;
  const parts = [0, 1, 2].map((index) => {
    if (!site.has(3)) return split(site, x[index]!, heads);
    const end = offset + known[index]!;
    const bias = g.op('Slice', [x[3]!, g.int64s([offset]), g.int64s([end])]);
    offset = end;
    return split(site, site.add(x[index]!, bias), heads);
  });
  const scale = scaleOf(site, widths[0], heads);
  const more = { scale, causal: isCausal(site), bias: site.has(5) ? x[5] : undefined, ...keyMask(site, 4) };
  return [merge(site, attend(site, parts[0]!, parts[1]!, parts[2]!, more))];
};

/**
 * What decoders are exported with (Ainslie and others, arXiv:2305.13245): causal, and each head of the keys for several of
 * the queries. What stands behind a padded row's last step is seen by no step before it.
 */
const groupQueryAttention: Expansion = (site) => {
  const { node, x } = site;
  if (site.has(3) || site.has(4)) site.refuse('it goes on from former keys and values');
  if (node.outputs.slice(1).some(Boolean)) site.refuse('its further outputs are read');
  if (!site.has(1) || !site.has(2)) site.refuse('its queries, keys and values are packed together');
  if (numberAttribute(node, 'do_rotary', 0) === 1) site.refuse('it rotates its queries');
  if (numberAttribute(node, 'local_window_size', -1) !== -1) site.refuse('it looks back a few steps only');
  if (numberAttribute(node, 'smooth_softmax', 0) === 1 || site.has(11)) site.refuse('its softmax has a sink');
  if (site.has(9) || site.has(10)) site.refuse('it has a mask or positions of its own');
  const heads = numberAttribute(node, 'num_heads', 1);
  const keyHeads = numberAttribute(node, 'kv_num_heads', 1);
  const keys = (index: number): string => shareKeys(site, split(site, x[index]!, keyHeads), keyHeads, heads);
  const y = attend(site, split(site, x[0]!, heads), keys(1), keys(2), {
    scale: scaleOf(site, site.dims(0)[2], heads),
    causal: true,
    softcap: numberAttribute(node, 'softcap', 0),
    capsFirst: true,
  });
  return [merge(site, y)];
};

/** The same with the projections of one input in it. */
const packedAttention: Expansion = (site) => {
  const { g, node, x } = site;
  if (site.has(4) || site.has(6)) site.refuse('it goes on from former keys and values');
  if (numberAttribute(node, 'do_rotary', 0) === 1) site.refuse('it rotates its queries');
  const heads = numberAttribute(node, 'num_heads', 1);
  const columns = site.dims(1)[1];
  if (typeof columns !== 'number') return site.refuse('the size of its weights is not known');
  const sizes = numbersAttribute(node, 'qkv_hidden_sizes') ?? [columns / 3, columns / 3, columns / 3];
  const product = g.op('MatMul', [x[0]!, x[1]!]);
  const projected = site.has(2) ? site.add(product, x[2]!) : product;
  const parts = g.ops('Split', [projected, g.int64s(sizes)], { axis: attr.int(-1) }, { outputs: 3 });
  const [q, k, v] = parts.map((part) => split(site, part, heads)) as [string, string, string];
  const scale = scaleOf(site, sizes[0], heads);
  const more = { scale, causal: isCausal(site), bias: site.has(5) ? x[5] : undefined, ...keyMask(site, 3) };
  return [merge(site, attend(site, q, k, v, more))];
};

/** x + skip + bias, which is also the fourth output. */
function skipped(site: GradientSite, skip: number, bias: number): string {
  const sum = site.add(site.x[0]!, site.x[skip]!);
  return site.has(bias) ? site.add(sum, site.x[bias]!) : sum;
}

/** x / √(mean x² + ε) · scale (Zhang and Sennrich, arXiv:1910.07467) */
function normalizeSquares(site: GradientSite, x: string, scale: number, least: number): string {
  const width = site.dims(scale)[0];
  if (typeof width !== 'number') return site.refuse('its size is not known');
  const squares = site.div(site.sum(site.mul(x, x), [-1]), site.number(width));
  const epsilon = site.number(numberAttribute(site.node, 'epsilon', least));
  return site.mul(site.div(x, site.g.op('Sqrt', [site.add(squares, epsilon)])), site.x[scale]!);
}

/** Of onnxruntime's own operators, whose ε is smaller. */
const normalizeAll = (site: GradientSite, x: string, scale: string, offset: string | undefined): string =>
  site.g.op('LayerNormalization', [x, scale, ...(offset ? [offset] : [])], {
    axis: attr.int(-1),
    epsilon: attr.float(numberAttribute(site.node, 'epsilon', 1e-12)),
  });

/** ½x·(1 + tanh(√(2/π)·(x + 0.044715x³))) */
function fastGelu(site: GradientSite, x: string): string {
  const { g } = site;
  const cube = site.mul(site.mul(x, x), site.mul(x, site.number(0.044715)));
  const inner = site.mul(site.add(x, cube), site.number(Math.sqrt(2 / Math.PI)));
  const half = site.mul(x, site.number(0.5));
  return site.mul(half, site.add(g.op('Tanh', [inner]), site.number(1)));
}

const fusedMatMul: Expansion = (site) => {
  const { g, node, x } = site;
  if (numberAttribute(node, 'transBatchA', 0) + numberAttribute(node, 'transBatchB', 0) > 0)
    site.refuse('it turns its batch axes');
  const turned = (index: number, key: string): string => {
    if (numberAttribute(node, key, 0) === 0) return x[index]!;
    const perm = site.dims(index).map((_, axis) => axis);
    const last = perm.length - 1;
    if (last < 1) return x[index]!;
    [perm[last], perm[last - 1]] = [last - 1, last];
    return g.op('Transpose', [x[index]!], { perm: attr.ints(perm) });
  };
  const alpha = numberAttribute(node, 'alpha', 1);
  const product = g.op('MatMul', [turned(0, 'transA'), turned(1, 'transB')]);
  return [alpha === 1 ? product : site.mul(product, site.number(alpha))];
};

/** x / (bias + α/size · Σ x² over neighbouring channels)^β (Krizhevsky et al. 2012) */
const localResponse: Expansion = (site) => {
  const { g, node, x } = site;
  const size = numberAttribute(node, 'size', 1);
  const rows = g.op('Unsqueeze', [
    g.op('Reshape', [site.mul(x[0]!, x[0]!), g.int64s([0, 0, -1])]),
    g.int64s([1]),
  ]);
  const before = Math.floor((size - 1) / 2);
  const mean = g.op('AveragePool', [rows], {
    kernel_shape: attr.ints([size, 1]),
    pads: attr.ints([before, 0, size - 1 - before, 0]),
    count_include_pad: attr.int(1),
  });
  const spread = g.op('Reshape', [g.op('Squeeze', [mean, g.int64s([1])]), g.op('Shape', [x[0]!])]);
  const scaled = site.mul(spread, site.number(numberAttribute(node, 'alpha', 1e-4)));
  const sum = site.add(scaled, site.number(numberAttribute(node, 'bias', 1)));
  return [site.div(x[0]!, g.op('Pow', [sum, site.number(numberAttribute(node, 'beta', 0.75))]))];
};

/** Operators that are several others in one: before they are differentiated they become those. */
export const expansions: Expansions = {
  Attention: attention,
  LRN: localResponse,
  SimplifiedLayerNormalization: (site) => [normalizeSquares(site, site.x[0]!, 1, 1e-5)],
  'com.microsoft:MultiHeadAttention': multiHeadAttention,
  'com.microsoft:Attention': packedAttention,
  'com.microsoft:GroupQueryAttention': groupQueryAttention,
  'com.microsoft:SkipLayerNormalization'(site) {
    const sum = skipped(site, 1, 4);
    return [normalizeAll(site, sum, site.x[2]!, site.has(3) ? site.x[3] : undefined), '', '', sum];
  },
  'com.microsoft:SkipSimplifiedLayerNormalization'(site) {
    const sum = skipped(site, 1, 3);
    return [normalizeSquares(site, sum, 2, 1e-12), '', '', sum];
  },
  'com.microsoft:FastGelu': (site) => [fastGelu(site, site.has(1) ? skipped(site, 1, 2) : site.x[0]!)],
  'com.microsoft:BiasGelu': (site) => [
    site.g.op('Gelu', [skipped(site, 1, 2)], {}, { domain: 'com.microsoft' }),
  ],
  'com.microsoft:FusedMatMul': fusedMatMul,
};
