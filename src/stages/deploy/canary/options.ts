import { z } from 'zod';
import type { CanaryOptions } from '../../../plugin/api.js';

export const canaryOptions: z.ZodType<CanaryOptions> = z
  .strictObject({
    percent: z
      .number()
      .min(0)
      .max(100)
      .default(10)
      .describe('Percent of the requests that the next release answers; 0 with `shadow` gives it none.'),
    requests: z
      .int()
      .min(1)
      .default(100)
      .describe('Fewest requests that it must have been given before it is judged.'),
    minutes: z.number().min(0).default(1).describe('Fewest minutes that it is watched.'),
    giveUpMinutes: z
      .number()
      .positive()
      .default(60)
      .describe('Minutes after which too few requests are a reason to stay with the current release.'),
    maxErrorRate: z
      .number()
      .min(0)
      .max(1)
      .default(0.01)
      .describe('Largest share of its requests that may fail (status 500 and above).'),
    maxLatencyRatio: z
      .number()
      .positive()
      .default(1.5)
      .describe(
        "Most times the current release's mean time that its own may be, of a request and of a run. Less than 1 ms more is never too slow.",
      ),
    maxDifferentRate: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .describe('Largest share of the shadowed requests that it may answer otherwise.'),
    shadow: z
      .boolean()
      .default(false)
      .describe(
        'Put the requests that the current release answers to the next one, too: its answers are compared, and go to nobody.',
      ),
    sticky: z
      .string()
      .regex(/^[A-Za-z0-9-]+$/)
      .optional()
      .describe('Header, such as X-User-Id: requests with the same value of it get the same release.'),
    url: z
      .string()
      .regex(/^https?:\/\/[^\s/]+/, 'expected a URL, such as http://127.0.0.1:8080')
      .optional()
      .describe('Where the running server answers. Default: serve.host and serve.port, on this machine.'),
  })
  .superRefine(({ percent, shadow, minutes, giveUpMinutes, maxDifferentRate }, context) => {
    const refuse = (key: string, message: string): void => {
      context.addIssue({ code: 'custom', path: [key], message });
    };
    if (percent === 0 && !shadow) refuse('percent', 'with 0 percent and no shadow it would get no request');
    if (minutes >= giveUpMinutes) refuse('minutes', 'must be less than giveUpMinutes');
    if (maxDifferentRate !== undefined && !shadow) refuse('maxDifferentRate', 'needs shadow: true');
  });
