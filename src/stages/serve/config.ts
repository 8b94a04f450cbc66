import { z } from 'zod';
import { paddingOptions } from './padding/options.js';

const versionName = z.string().min(1);

const traffic = z
  .strictObject({
    aliases: z
      .record(versionName, versionName)
      .optional()
      .describe('Names of versions, such as stable: "3", beside the links in the folder of models.'),
    split: z
      .record(versionName, z.number().min(0))
      .refine((shares) => Object.values(shares).some((share) => share > 0), 'one share must be above 0')
      .optional()
      .describe(
        'Version or alias → its share of the requests that name none, such as { stable: 90, canary: 10 }.',
      ),
    sticky: z
      .string()
      .regex(/^[A-Za-z0-9-]+$/)
      .optional()
      .describe('Header, such as X-User-Id: requests with the same value of it get the same version.'),
    shadow: versionName
      .optional()
      .describe(
        'Version or alias that gets each request a second time: its answers are compared (maas_shadow_requests_total), and never sent.',
      ),
  })
  .describe('Which versions answer requests that name none; without it the latest does.');

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
    .union([z.literal('auto'), z.int().min(1)])
    .default(64)
    .describe(
      'Rows that requests waiting together may fill in one run. A single request may bring more: it runs alone. auto measures at load: the fewest rows that give 95 % of the best throughput.',
    ),
  maxDelayMs: z
    .number()
    .min(0)
    .max(60_000)
    .default(0)
    .describe(
      'Milliseconds that a request may wait for others to fill its run. By default none does: what came while the last run was busy shares the next.',
    ),
  padding: paddingOptions.optional(),
  prepare: z
    .boolean()
    .default(true)
    .describe(
      'Keep a copy of each model of more than 4 MB in the cache folder, packed for this processor and two to three times as large: from the second start on it opens in a fraction of the time, and workers share its memory.',
    ),
  queueTimeout: z
    .number()
    .positive()
    .max(86_400)
    .optional()
    .describe(
      'Seconds that a request may wait for its run unless it says so itself (X-Request-Timeout-Ms, or the parameter timeout); then it gets 504 and is not run.',
    ),
  cache: z
    .strictObject({
      maxBytes: z
        .int()
        .min(0)
        .default(64 * 1024 * 1024)
        .describe('Bytes of answers that are kept for each model; 0 keeps none.'),
    })
    .optional()
    .describe(
      'Keeps answers by the digest of their inputs, and lets equal requests that are under way share a run. For models that give the same answer each time.',
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
      'Worker threads that run the model; 0 runs it beside the HTTP server. auto measures: a model that is quick even with a full batch runs beside it, any other in as many workers as there are cores for. Where a few rows are quick and many are not, few run beside it and many in workers.',
    ),
  processes: z
    .union([z.literal('auto'), z.int().min(1).max(256)])
    .default(1)
    .describe(
      'Processes that serve behind one port, each with its share of the cores, the memory and the limits: one reads some 30,000 small requests a second and no more. auto is one for each core. Not on Windows, and not with sample and drift.',
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
  keys: z
    .array(
      z
        .string()
        .regex(
          /^(?:sha256:[0-9a-fA-F]{64}|(?!sha256:).{16,})$/,
          'a key has 16 characters or more; sha256: is followed by 64 hexadecimal ones',
        ),
    )
    .min(1)
    .optional()
    .describe(
      'Keys that let callers in (Authorization: Bearer KEY, or X-Api-Key): from the environment, as ${NAME}, or as sha256: and their digest. Only /v2/health asks for none.',
    ),
  tls: z
    .strictObject({
      cert: z.string().min(1).describe('Certificate, PEM, with those between it and the root behind it.'),
      key: z.string().min(1).describe('Its private key, PEM.'),
    })
    .optional()
    .describe('Serves HTTPS, and gRPC over TLS. Both go over to renewed files by themselves.'),
  maxConnections: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(10_000)
    .describe('Connections that may be open at once; further ones are closed.'),
  accessLog: z
    .boolean()
    .default(false)
    .describe('Tells of every request: a line of JSON with --events, else a line on stderr.'),
  sample: z
    .strictObject({
      rate: z
        .number()
        .gt(0)
        .max(1)
        .default(0.01)
        .describe('Share of the requests that are written, from 0 to 1.'),
      file: z.string().min(1).describe('File of JSON Lines that they are appended to.'),
      maxBytes: z
        .int()
        .min(64 * 1024)
        .default(256 * 1024 * 1024)
        .describe('Bytes of that file and the one before it, FILE.1, together.'),
    })
    .optional()
    .describe(
      'Writes some requests with their answers to a file, as bodies that `maas bench --requests` sends again. No request waits for it: what the disk is too slow or too full for is dropped (maas_samples_dropped_total).',
    ),
  tracing: z
    .strictObject({
      endpoint: z
        .string()
        .regex(/^https?:\/\/[^\s/]/, 'must be an address, such as http://localhost:4318/v1/traces')
        .refine((text) => URL.canParse(text), 'must be an address')
        .describe(
          'Where the collector takes traces by OTLP over HTTP, such as http://localhost:4318/v1/traces.',
        ),
      headers: z
        .record(z.string().min(1), z.string())
        .optional()
        .describe(
          'Headers that are sent along, such as a key of the collector: from the environment, as ${NAME}.',
        ),
      rate: z
        .number()
        .min(0)
        .max(1)
        .default(1)
        .describe(
          'Share of the requests that are traced, of those that come without a traceparent: with one, it says so itself.',
        ),
      service: z.string().min(1).default('maas').describe('Name of this server in the traces: service.name.'),
      attributes: z
        .record(z.string().min(1), z.string())
        .optional()
        .describe(
          'More of what is told of this server, such as { deployment.environment.name: production }.',
        ),
    })
    .optional()
    .describe(
      'Sends OpenTelemetry traces: a span for each request, for its wait, and for the run of the model. Without it, OTEL_EXPORTER_OTLP_ENDPOINT and the other variables of OpenTelemetry say where to.',
    ),
  drift: z
    .strictObject({
      rate: z.number().gt(0).max(1).default(1).describe('Share of the requests that are looked at.'),
      minRows: z.int().min(1).default(500).describe('Rows before anything is said: fewer differ by chance.'),
      window: z
        .int()
        .min(2)
        .default(10_000)
        .describe('Rows that are compared together: the last of so many, and at least of half as many.'),
    })
    .refine(({ minRows, window }) => minRows <= window / 2, {
      path: ['minRows'],
      message: 'must be at most half of window, for that many rows are there at all times',
    })
    .optional()
    .describe(
      'Compares what comes and what is answered with the training data: GET /drift, and maas_drift_psi and maas_drift_js of /metrics.',
    ),
  models: z
    .record(
      z.string().min(1),
      traffic
        .extend({
          padding: paddingOptions
            .optional()
            .describe('Padding of this model, instead of serve.padding; {} is none.'),
        })
        .describe(
          'Which versions answer requests that name none, without it the latest; and which requests are padded.',
        ),
    )
    .optional()
    .describe(
      'By the name of a model in the folder of `--models`: aliases, shares of versions, a shadow, padding.',
    ),
  threads: z
    .union([z.literal('auto'), z.int().min(1).max(256)])
    .default('auto')
    .describe(
      'Threads inside one run of the model. auto is one in each worker, and more for a run that is alone: how many is measured on the first requests that come singly.',
    ),
});

export type ServeOptions = z.infer<typeof serveOptions>;
