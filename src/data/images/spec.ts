import { z } from 'zod';

/** How an image becomes pixels. It goes into the signature: served images are read as those of training were. */
export interface ImageSpec {
  readonly height: number;
  readonly width: number;
  /** Gray, red-green-blue, or these with alpha. */
  readonly channels: 1 | 3 | 4;
  readonly fit: 'cover' | 'contain' | 'fill';
  /** Behind what is transparent, and around what `contain` leaves free: #rrggbb. */
  readonly background: string;
}

/** What the images of a folder are called. */
export const folderColumn = 'image';

export const colorModes = { grayscale: 1, rgb: 3, rgba: 4 } as const;

const size = z.int().min(1).max(4096);

const perChannel = (numbers: z.ZodType<number>) =>
  z.array(numbers).refine(({ length }) => [1, 3, 4].includes(length), 'expected one number for each channel');

/** The config's `data.images`. */
export const imageOptions = z
  .strictObject({
    size: z
      .tuple([size, size])
      .optional()
      .describe(
        '[height, width] that all are brought to. Default: that of the images, if all have the same.',
      ),
    fit: z
      .enum(['cover', 'contain', 'fill'])
      .default('cover')
      .describe(
        'When the proportions differ: cover cuts off what stands over, contain leaves edges in the background, fill distorts.',
      ),
    colorMode: z
      .enum(['grayscale', 'rgb', 'rgba'])
      .default('rgb')
      .describe('Channels that images get, whatever their files have.'),
    background: z
      .string()
      .regex(/^#[0-9a-fA-F]{6}$/, 'expected a colour as #rrggbb')
      .default('#000000')
      .describe('Colour behind what is transparent, and around what fit: contain leaves free.'),
    mean: perChannel(z.number())
      .optional()
      .describe(
        'Subtracted from each channel, whose values are 0 to 1, inside of the model. Default: that of the train split.',
      ),
    std: perChannel(z.number().gt(0, 'a deviation is above 0'))
      .optional()
      .describe('What each channel is divided by then. Default: the deviation over the train split.'),
  })
  .check((context) => {
    const { colorMode, mean, std } = context.value;
    const channels = colorModes[colorMode];
    const report = (key: string, message: string): void => {
      context.issues.push({ code: 'custom', input: context.value, path: [key], message });
    };
    for (const [key, values] of [
      ['mean', mean],
      ['std', std],
    ] as const) {
      if (values && values.length !== channels)
        report(
          key,
          `expected ${channels} ${channels === 1 ? 'number' : 'numbers'}, as ${colorMode} has channels`,
        );
    }
    if (mean && !std) report('mean', 'say std too, such as 1 for each channel');
    if (std && !mean) report('std', 'say mean too, such as 0 for each channel');
  });

export type ImageOptions = z.output<typeof imageOptions>;

/** [channels, height, width], as layers have images. */
export function shapeOf({ channels, height, width }: ImageSpec): readonly [number, number, number] {
  return [channels, height, width];
}
