import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { describeSchema } from '../../src/config/describe-schema.js';
import { named } from '../../src/config/named.js';

const schema = named(
  {
    sgd: { summary: 'Plain gradient descent', options: z.strictObject({ momentum: z.number().default(0) }) },
    adam: {
      summary: 'Adaptive moments',
      options: z.strictObject({ learningRate: z.number().positive().default(0.001).describe('Step size') }),
    },
    command: { summary: 'Your own', options: z.strictObject({ run: z.string() }) },
  },
  'optimizer',
);

function issuesOf(value: unknown, of: z.ZodType = schema) {
  const issues = of.safeParse(value).error?.issues ?? [];
  return issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
}

describe('named', () => {
  it('reads a bare name as the options’ defaults', () => {
    expect(schema.parse('adam')).toEqual({ name: 'adam', options: { learningRate: 0.001 } });
  });

  it('reads one key with options', () => {
    expect(schema.parse({ adam: { learningRate: 0.1 } })).toEqual({
      name: 'adam',
      options: { learningRate: 0.1 },
    });
  });

  it('takes a default through prefault, and survives describe and optional', () => {
    const object = z.strictObject({ optimizer: schema.describe('How weights change').prefault('sgd') });
    expect(object.parse({})).toEqual({ optimizer: { name: 'sgd', options: { momentum: 0 } } });
    expect(describeSchema(object)).toMatchObject({
      properties: { optimizer: { default: 'sgd', description: 'How weights change', oneOf: { length: 5 } } },
    });
  });

  it('lists the names there are when one is unknown', () => {
    expect(issuesOf('adma')).toEqual([': unknown optimizer "adma", expected one of: sgd, adam, command']);
    expect(issuesOf({ adma: { learningRate: 1 } })).toEqual([
      'adma: unknown optimizer "adma", expected one of: sgd, adam, command',
    ]);
    expect(issuesOf('toString')[0]).toContain('unknown optimizer "toString"');
    expect(schema.safeParse('adma').error!.issues[0]).toMatchObject({
      params: { unknown: 'adma', known: ['sgd', 'adam', 'command'] },
    });
  });

  it('reports wrong options at their own path', () => {
    const list = z.strictObject({ passes: z.array(schema) });
    expect(issuesOf({ passes: ['sgd', { adam: { learningRate: -1, rate: 2 } }] }, list)).toEqual([
      expect.stringMatching(/^passes\.1\.adam\.learningRate: /),
      expect.stringMatching(/^passes\.1\.adam: .*"rate"/),
    ]);
  });

  it('names the option that a bare name lacks', () => {
    expect(issuesOf('command')).toEqual([expect.stringMatching(/^command\.run: /)]);
  });

  it.each([
    [{ adam: {}, sgd: {} }, 'found 2 keys: adam, sgd'],
    [{}, 'found no key'],
    [['adam'], 'found a list'],
    [null, 'found nothing'],
    [7, 'found a number'],
  ])('refuses %j', (value, message) => {
    expect(issuesOf(value)).toEqual([expect.stringContaining(message)]);
  });

  it('describes each choice as a constant and as a strict object', () => {
    const { oneOf } = describeSchema(schema) as { oneOf: Record<string, unknown>[] };
    expect(oneOf).toContainEqual({ const: 'adam', description: 'Adaptive moments' });
    expect(oneOf).toContainEqual({
      type: 'object',
      description: 'Adaptive moments',
      required: ['adam'],
      additionalProperties: false,
      properties: {
        adam: {
          description: 'Adaptive moments',
          type: 'object',
          additionalProperties: false,
          properties: {
            learningRate: {
              type: 'number',
              exclusiveMinimum: 0,
              default: 0.001,
              description: 'Step size',
            },
          },
        },
      },
    });
    expect(oneOf).not.toContainEqual(expect.objectContaining({ const: 'command' }));
  });
});
