import { attr, type Node } from '../../../ir/graph.js';
import { dtypes, tensor } from '../../../ir/tensor.js';
import { roundGroups } from './round-groups.js';
import { defineStorage } from './store-constants.js';

const floatCode = dtypes.indexOf('float32') + 1;
/** Numbers that share a scale, at least: then scales are a sixteenth of what is stored. */
const leastGroup = 64;
/** The same for a channel by itself. */
const leastChannel = 8;
/** Of a constant before and after: what loses more stays float32, as biases and tables of unlike rows may. In dB. */
const leastSignal = 30;

/**
 * What: stores float32 constants as int8 with scales, and turns them back when the model is loaded.
 * Why: a quarter of the file where integers would not be faster, as in recurrent layers and in convolutions whose ranges are not known;
 * the computation, and its speed, stay as they were.
 * Example: LSTM(x, W, R) → LSTM(x, Cast(W₈) · scales, Cast(R₈) · scales).
 */
export const storeBytesPass = defineStorage(
  'storeBytes',
  'Store float32 constants as int8 with scales; compute as before.',
  2,
  (name, { dims }, values, fresh) => {
    const { group, scaleDims } = groupOf(dims);
    const rounded = roundGroups(values, group);
    if (!rounded) return 'it holds numbers that are not finite';
    const { integers, scales, signalToNoise: decibels } = rounded;
    if (!(decibels >= leastSignal)) return `it would keep ${decibels.toFixed(1)} dB only`;
    const [stored, factors, floats] = ['int8', 'scale', 'float'].map((part) => fresh(`${name}_${part}`)) as [
      string,
      string,
      string,
    ];
    const make = (op: string, inputs: string[], to: string, attributes: Node['attributes'] = {}): Node => ({
      op,
      domain: '',
      name: fresh(`${name}_${op}`),
      inputs,
      outputs: [to],
      attributes,
    });
    return {
      note: `int8, keeps ${decibels.toFixed(1)} dB`,
      initializers: [
        [stored, tensor('int8', dims, integers)],
        [factors, tensor('float32', scaleDims, scales)],
      ],
      nodes: [
        make('Cast', [stored], floats, { to: attr.int(floatCode) }),
        make('Mul', [floats, factors], name),
      ],
    };
  },
);

/**
 * The fewest last axes that hold enough numbers for a scale, and the shape of the scales. Channels, which the first axis
 * counts, are of unlike sizes: they share a scale only where it would take more than half as much room as they do.
 */
function groupOf(dims: readonly number[]): { group: number; scaleDims: number[] } {
  const scaleDims = [...dims];
  let group = 1;
  for (let axis = dims.length - 1; axis >= 0 && group < (axis > 0 ? leastGroup : leastChannel); axis--) {
    group *= dims[axis]!;
    scaleDims[axis] = 1;
  }
  return { group, scaleDims };
}
