import { z } from 'zod';

const share = (description: string) => z.number().gt(0).max(1).optional().describe(description);

/** The config's `train.augment`, by the names of Keras' preprocessing layers. */
export const augmentSchema = z
  .strictObject({
    randomFlip: z
      .enum(['horizontal', 'vertical', 'horizontalAndVertical'])
      .optional()
      .describe('Turns one image in two around, from left to right, from top to bottom, or either.'),
    randomTranslation: z
      .strictObject({
        heightFactor: z.number().min(0).max(1).default(0.1).describe('Of the height, up or down, at most.'),
        widthFactor: z.number().min(0).max(1).default(0.1).describe('Of the width, left or right, at most.'),
      })
      .optional()
      .describe('Moves images.'),
    randomRotation: share(
      'Turns images around their middle by this part of a whole turn at most, either way.',
    ),
    randomZoom: z
      .number()
      .gt(0)
      .lt(1)
      .optional()
      .describe('Makes what is seen larger or smaller by this factor at most: 0.2 is 0.8 to 1.2.'),
    randomBrightness: share('Adds this part of the whole range of values at most, or takes it away.'),
    randomContrast: share(
      'Spreads values from their mean, channel by channel, by 1 less or more this at most.',
    ),
    fillMode: z
      .enum(['reflect', 'nearest', 'constant'])
      .default('reflect')
      .describe('What stands where an image was moved away: its mirror image, its edge, or fillValue.'),
    fillValue: z.int().min(0).max(255).default(0).describe('With fillMode: constant.'),
  })
  .check((context) => {
    const changes = Object.keys(context.value).filter((key) => !key.startsWith('fill'));
    if (changes.length > 0) return;
    context.issues.push({
      code: 'custom',
      input: context.value,
      message: 'says nothing that is changed: write randomFlip: horizontal, for instance, or remove augment',
    });
  });

export type AugmentOptions = z.output<typeof augmentSchema>;
