import { numberAttribute, numbersAttribute, type Dim } from '../graph.js';
import { typed, type ShapeRule, type ShapeRules } from './rule.js';

const likeFirst: ShapeRule = (site) => typed(site.dtype(0), site.shape(0));

/** What the first and the fourth output of a normalization of a sum have: the shape of the sum. */
const likeSum: ShapeRule = (site) => {
  const [type] = likeFirst(site);
  return [type, undefined, undefined, type];
};

/** [N, heads, steps, size], or [N, steps, heads·size], as the queries; the size is that of the values. */
const attention: ShapeRule = (site) => {
  const [q, k, v] = [0, 1, 2].map((index) => site.shape(index));
  const dtype = site.dtype(0);
  if (q?.length === 4) return typed(dtype, [...q.slice(0, 3), v?.[3] ?? site.fresh(3)]);
  if (q?.length !== 3) return typed(dtype, undefined);
  const [queryWidth, keyWidth, width] = [q[2], k?.[2], v?.[2]];
  const heads = numberAttribute(site.node, 'q_num_heads', 1);
  const shared = numberAttribute(site.node, 'kv_num_heads', heads);
  const isSame = queryWidth === keyWidth && keyWidth === width;
  const last: Dim = isSame ? q[2]! : typeof width === 'number' ? (width / shared) * heads : site.fresh(2);
  return typed(dtype, [q[0]!, q[1]!, last]);
};

/** [N, steps, width of the values] */
const multiHead: ShapeRule = (site) => {
  const [q, v] = [site.shape(0), site.shape(2)];
  return typed(site.dtype(0), q?.length === 3 && v?.length === 3 ? [q[0]!, q[1]!, v[2]!] : undefined);
};

/** As the queries, which have the keys and values behind them where these are not given apart. */
const groupQuery: ShapeRule = (site) => typed(site.dtype(0), site.shape(1) ? site.shape(0) : undefined);

const packed: ShapeRule = (site) => {
  const [x, w] = [site.shape(0), site.shape(1)];
  const columns = w?.[1];
  const size = numbersAttribute(site.node, 'qkv_hidden_sizes')?.[2];
  const width = size ?? (typeof columns === 'number' ? columns / 3 : site.fresh(2));
  return typed(site.dtype(0), x?.length === 3 ? [x[0]!, x[1]!, width] : undefined);
};

export const attentions: ShapeRules = {
  Attention: attention,
  SimplifiedLayerNormalization: likeFirst,
  'com.microsoft:MultiHeadAttention': multiHead,
  'com.microsoft:Attention': packed,
  'com.microsoft:GroupQueryAttention': groupQuery,
  'com.microsoft:SkipLayerNormalization': likeSum,
  'com.microsoft:SkipSimplifiedLayerNormalization': likeSum,
  'com.microsoft:BiasGelu': likeFirst,
};
