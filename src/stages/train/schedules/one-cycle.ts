import { z } from 'zod';
import { fall, schedule } from './schedule.js';

/** As PyTorch's OneCycleLR with its two phases, each along half a cosine. */
export const oneCycle = schedule({
  summary: 'rises to the learning rate, then falls to almost nothing (Smith and Topin, arXiv:1708.07120)',
  options: z.strictObject({
    rise: z.number().gt(0).lt(1).default(0.3).describe('Share of the training in which the rate rises.'),
    divide: z.number().min(1).default(25).describe('The first rate is the learning rate divided by this.'),
    finalDivide: z.number().min(1).default(10_000).describe('The last rate is the first divided by this.'),
  }),
  share({ step, steps }, { rise, divide, finalDivide }) {
    const [first, last] = [1 / divide, 1 / (divide * finalDivide)];
    const top = Math.max(0, rise * steps - 1);
    const end = steps - 1;
    if (step < top) return 1 + (first - 1) * fall(step / top);
    return last + (1 - last) * fall(end > top ? (step - top) / (end - top) : 0);
  },
});
