import { z } from 'zod';

/** The `serve` section of the config. */
export const serveOptions = z.strictObject({
  host: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .describe('Address to listen on. 0.0.0.0 or :: lets other machines in.'),
  port: z.int().min(0).max(65535).default(8080).describe('TCP port; 0 takes a spare one.'),
  grpcPort: z
    .int()
    .min(0)
    .max(65535)
    .optional()
    .describe(
      'TCP port of the Open Inference Protocol over gRPC; 0 takes a spare one. Without it there is none.',
    ),
  maxBatchSize: z
    .int()
    .min(1)
    .default(64)
    .describe(
      'Rows that requests waiting together may fill in one run. A single request may bring more: it runs alone.',
    ),
  maxQueue: z
    .int()
    .min(1)
    .default(1024)
    .describe('Requests that may wait for the model; further ones get 503 with Retry-After.'),
  maxBodyBytes: z
    .int()
    .min(1)
    .default(16 * 1024 * 1024)
    .describe('Largest request body in bytes; larger ones get 413.'),
  drainTimeout: z
    .number()
    .min(0)
    .max(3600)
    .default(30)
    .describe('Seconds that requests under way have to finish when the server is stopped.'),
  workers: z
    .union([z.literal('auto'), z.int().min(0).max(256)])
    .default('auto')
    .describe(
      'Worker threads that run the model; 0 runs it beside the HTTP server. auto measures: a model that is quick even with a full batch runs beside it, any other in as many workers as there are cores for.',
    ),
  runTimeout: z
    .number()
    .positive()
    .max(86_400)
    .default(60)
    .describe(
      'Seconds after which a run in a worker is taken for hung: its requests get 503, and another worker takes its place.',
    ),
  memoryBudget: z
    .union([z.literal('auto'), z.int().min(1)])
    .default('auto')
    .describe(
      'Bytes that the models of a repository may take together; those used longest ago are unloaded for others, and loaded again when asked for. auto is half of the memory.',
    ),
  threads: z.int().min(1).max(256).default(1).describe('Threads inside one run of the model.'),
});

export type ServeOptions = z.infer<typeof serveOptions>;
