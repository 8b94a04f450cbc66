import type { TrainProgress } from './api.js';

/** What `--events` prints, one JSON object a line. Every event has `time` (ISO 8601) added when printed. */
export type ProgressEvent =
  | { readonly event: 'stage-start'; readonly stage: string }
  | { readonly event: 'stage-cached'; readonly stage: string; readonly digest: string }
  | {
      readonly event: 'stage-done';
      readonly stage: string;
      readonly digest: string;
      readonly seconds: number;
    }
  | {
      readonly event: 'stage-failed';
      readonly stage: string;
      readonly code: string;
      readonly message: string;
    }
  | ({
      readonly event: 'train-progress';
      /** Which training of several: `fold-1`, …, `final`. */
      readonly part?: string;
    } & TrainProgress)
  | {
      readonly event: 'task';
      readonly stage: string;
      readonly title: string;
      readonly state: 'start' | 'done' | 'failed';
    }
  | { readonly event: 'note'; readonly stage: string; readonly text: string }
  | { readonly event: 'warning'; readonly stage: string; readonly text: string }
  | {
      /** A request that was answered; without a status, its caller went away before. */
      readonly event: 'request';
      readonly method: string;
      readonly path: string;
      readonly seconds: number;
      readonly remote?: string;
      readonly status?: number;
      readonly protocol?: string;
      readonly model?: string;
      readonly version?: string;
      /** What its caller sent as X-Request-Id and traceparent. */
      readonly id?: string | undefined;
      readonly traceparent?: string | undefined;
    }
  | {
      readonly event: 'serving';
      readonly url: string;
      readonly model: string;
      readonly digest: string;
      /** host:port of gRPC, where it is wanted. */
      readonly grpc?: string;
    };
