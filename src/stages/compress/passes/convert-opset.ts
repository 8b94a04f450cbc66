import { z } from 'zod';
import { convertOpset, newestOpset, oldestOpset } from '../../../ir/opset/convert.js';
import { removeDead } from '../../../ir/rewrite.js';
import { definePass } from '../../../plugin/api.js';

const options = z.strictObject({
  version: z
    .int()
    .min(oldestOpset)
    .max(newestOpset)
    .default(21)
    .describe('Operator set of ai.onnx to bring the model up to. One that is later already stays.'),
});

/**
 * What: writes a model of an old operator set in a later one, operator by operator, as the ONNX changelog says.
 * Why: integers for each channel and other tools need later ones, and exporters of old frameworks write opset 9 to 12.
 * Example: Squeeze(x) {axes: [1]} of operator set 11 → Squeeze(x, axes) of 13, with axes a constant.
 *
 * A node that has no counterpart is named, and the model stays in the last operator set that it can be written in.
 */
export const convertOpsetPass = definePass<z.output<typeof options>>({
  name: 'convertOpset',
  summary: 'Write the model in a later operator set.',
  options,
  version: 1,
  run(given, { version }) {
    const from = given.opsets[''] ?? 0;
    const { model, version: reached, applied, stopped } = convertOpset(given, version);
    if (model === given)
      return Promise.resolve({ model, report: { changed: false, applied, skipped: stopped } });
    const label = given.graph.name || 'the model';
    const whole = [{ node: label, note: `operator set ${from} → ${reached}` }, ...applied];
    return Promise.resolve({
      model: { ...model, graph: removeDead(model.graph) },
      report: { changed: true, applied: whole, skipped: stopped },
    });
  },
});
