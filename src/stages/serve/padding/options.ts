import { z } from 'zod';

const lengths = z
  .array(z.int().min(1))
  .min(1)
  .refine(
    (all) => all.every((length, index) => index === 0 || length > all[index - 1]!),
    'must ascend, as in [16, 32, 64]',
  );

/** `serve.padding`: by the name of a dimension in the model's signature. */
export const paddingOptions = z
  .record(
    z.string().min(1),
    z
      .strictObject({
        value: z
          .union([z.number(), z.record(z.string().min(1), z.number())])
          .default(0)
          .describe(
            'What inputs are filled up with, one value for all, or by the name of the input, such as { input_ids: 1 }: 0 where it is not named.',
          ),
        buckets: z
          .union([z.literal('auto'), lengths])
          .default('auto')
          .describe(
            'Lengths up to which requests share a run, such as [16, 32, 64, 128]: those of 17 to 32 do, padded to the longest of them. Longer ones than the last share it with their like alone. auto has 8, 10, 12, 14, 16, 20, 24, 28, 32 and so on, four to each doubling, which keeps padding below a fifth of a run.',
          ),
      })
      .describe('How it is padded.'),
  )
  .describe(
    'Lets requests that differ in the length of a dimension share runs, such as { sequence_length: { value: 0 } }: by its name in the signature of the model, inputs with it are padded behind and outputs with it cut back. For models that a mask tells what to pass over: whether padding changes an answer is measured at load, and where it does, or cannot be measured, nothing is padded.',
  );

export type PaddingOptions = z.infer<typeof paddingOptions>;
