import { setMaxListeners } from 'node:events';
import type { Socket } from 'node:net';
import { create } from '@bufbuild/protobuf';
import {
  Server,
  ServerCredentials,
  status,
  type handleBidiStreamingCall,
  type handleUnaryCall,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServiceError,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { MaasError } from '../../../errors.js';
import type { Urgency } from '../../../plugin/api.js';
import type { Exchange, Metrics } from '../metrics.js';
import { lingerFor } from '../linger.js';
import type { ModelHost } from '../model-host.js';
import { RequestError } from '../request-error.js';
import type { Tracing } from '../trace/tracing.js';
import type { Credentials } from '../tls.js';
import { defineGrpcService } from './definition.js';
import { file_health, Health } from './health.generated.js';
import { checkHealth } from './health.js';
import {
  file_inference,
  GRPCInferenceService,
  ModelStreamInferResponseSchema,
  type ModelInferRequest,
  type ModelStreamInferResponse,
} from './inference.generated.js';
import { calls, infer, type Given } from './inference.js';
import { file_reflection, ServerReflection } from './reflection.generated.js';
import { reflect } from './reflection.js';
import { RenewableCredentials } from './renewable-credentials.js';

export interface GrpcOptions {
  readonly host: string;
  readonly port: number;
  /** Has connections given to `inject`, instead of listening, and tells where callers find them. */
  readonly takeConnections?: ((inject: (socket: Socket) => void) => string) | undefined;
  /** Of one message, in bytes. */
  readonly maxBodyBytes: number;
  readonly models: ModelHost;
  readonly metrics: Metrics;
  readonly tracing?: Tracing | undefined;
  /** With these it speaks TLS. */
  readonly credentials?: Credentials | undefined;
  /** Throws for whom it does not let in. */
  readonly checkKey?: ((headers: Readonly<Record<string, string>>) => void) | undefined;
  /** Told of errors that are nobody's fault but ours. */
  readonly onBug: (error: unknown) => void;
}

export interface GrpcFront {
  /** host:port */
  readonly address: string;
  /** Takes other credentials for connections from now on. */
  renew(credentials: Credentials): void;
  /** Takes no new calls, waits for those under way, at most `timeout` milliseconds. */
  stop(timeout: number): Promise<void>;
}

/** In milliseconds. */
const linger = 100;

/** What a protocol of HTTP would answer → what gRPC calls it. */
const codes: Readonly<Record<number, status>> = {
  400: status.INVALID_ARGUMENT,
  401: status.UNAUTHENTICATED,
  403: status.PERMISSION_DENIED,
  404: status.NOT_FOUND,
  413: status.RESOURCE_EXHAUSTED,
  429: status.RESOURCE_EXHAUSTED,
  503: status.UNAVAILABLE,
  504: status.DEADLINE_EXCEEDED,
};

/**
 * The Open Inference Protocol over gRPC, with health checks and reflection.
 * @throws MaasError MAAS_PORT when it cannot listen there.
 */
export async function listenGrpc(options: GrpcOptions): Promise<GrpcFront> {
  const { models, maxBodyBytes } = options;
  const server = new Server({
    'grpc.max_receive_message_length': maxBodyBytes,
    'grpc.max_send_message_length': -1,
  });
  const stopping = new AbortController();
  // One for each stream.
  setMaxListeners(0, stopping.signal);
  const unary = Object.entries(calls).map(([name, call]) => [name, handleUnary(name, call, options)]);
  server.addService(defineGrpcService(GRPCInferenceService), {
    ...(Object.fromEntries(unary) as UntypedServiceImplementation),
    modelStreamInfer: handleStream(options, stopping.signal),
  });
  server.addService(defineGrpcService(Health), {
    ...checkHealth([GRPCInferenceService.typeName], () => models.ready, stopping.signal),
  });
  const reflection = reflect([file_inference, file_health, file_reflection], stopping.signal);
  // Older clients know it by its first name.
  for (const version of ['v1', 'v1alpha']) {
    const definition = defineGrpcService(ServerReflection, `grpc.reflection.${version}.ServerReflection`);
    server.addService(definition, { serverReflectionInfo: reflection });
  }
  const secure = options.credentials && new RenewableCredentials(options.credentials);
  const entrance = secure ?? ServerCredentials.createInsecure();
  const address = options.takeConnections
    ? options.takeConnections(injectInto(server, entrance))
    : await bind(server, entrance, options);
  return {
    address,
    renew: (credentials) => secure?.renew(credentials),
    async stop(timeout) {
      // Calls that were on their way when the server said that it is not ready.
      await lingerFor(Math.min(linger, timeout));
      stopping.abort();
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => {
          server.forceShutdown();
          resolve();
        }, timeout);
        server.tryShutdown(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    },
  };
}

function injectInto(server: Server, entrance: ServerCredentials): (socket: Socket) => void {
  const injector = server.createConnectionInjector(entrance);
  return (socket) => {
    injector.injectConnection(socket);
  };
}

/** @returns host:port @throws MaasError MAAS_PORT */
function bind(
  server: Server,
  entrance: ServerCredentials,
  { host, port }: Pick<GrpcOptions, 'host' | 'port'>,
): Promise<string> {
  const place = host.includes(':') ? `[${host}]` : host;
  return new Promise((resolve, reject) => {
    server.bindAsync(`${place}:${port}`, entrance, (error, bound) => {
      if (!error) resolve(`${place}:${bound}`);
      else
        reject(
          new MaasError('MAAS_PORT', `cannot listen for gRPC on ${place}:${port}: ${error.message}`, {
            cause: error,
          }),
        );
    });
  });
}

function handleUnary(
  name: string,
  call: (typeof calls)[string],
  options: GrpcOptions,
): handleUnaryCall<unknown, object> {
  return (unary, answer) => {
    void answerTraced(name, call, unary, unary.request, options).then(
      ({ response }) => {
        answer(null, response);
      },
      (error: unknown) => {
        answer(asServiceError(error, options.onBug));
      },
    );
  };
}

/** Each message is a request of its own; answers come as they are ready. A stream that waits for more holds up no stop. */
function handleStream(
  options: GrpcOptions,
  stopped: AbortSignal,
): handleBidiStreamingCall<ModelInferRequest, ModelStreamInferResponse> {
  return (call: ServerDuplexStream<ModelInferRequest, ModelStreamInferResponse>) => {
    let underWay = 0;
    let ended = false;
    const endIfDone = (): void => {
      if (underWay > 0) return;
      if (ended) call.end();
      else if (stopped.aborted) call.emit('error', { code: status.UNAVAILABLE, details: 'the server stops' });
    };
    stopped.addEventListener('abort', endIfDone);
    call.once('close', () => {
      stopped.removeEventListener('abort', endIfDone);
    });
    call.on('data', (request: ModelInferRequest) => {
      underWay++;
      void answerTraced('modelStreamInfer', infer as (typeof calls)[string], call, request, options)
        .then(
          ({ response }) => create(ModelStreamInferResponseSchema, { inferResponse: response as never }),
          (error: unknown) => {
            const errorMessage = asServiceError(error, options.onBug).details ?? 'internal error';
            return create(ModelStreamInferResponseSchema, { errorMessage });
          },
        )
        .then((message) => {
          underWay--;
          if (!call.cancelled) call.write(message);
          endIfDone();
        });
    });
    call.on('end', () => {
      ended = true;
      endIfDone();
    });
    call.on('error', () => call.end());
  };
}

type Caller = Pick<ServerUnaryCall<unknown, unknown>, 'metadata' | 'getDeadline'>;

/** Answers one call, with a span around it where it is traced. */
async function answerTraced(
  name: string,
  call: (typeof calls)[string],
  caller: Caller,
  request: unknown,
  options: GrpcOptions,
): Promise<Given> {
  const { tracing } = options;
  if (!tracing) return answerOne(call, caller, request, options);
  const method = name.charAt(0).toUpperCase() + name.slice(1);
  const settled = await tracing.follow(
    caller.metadata.getMap() as Record<string, string>,
    () =>
      answerOne(call, caller, request, options).then(
        (given) => ({ given, code: status.OK }),
        (error: unknown) => ({ error, code: asServiceError(error).code ?? status.INTERNAL }),
      ),
    () => `${GRPCInferenceService.typeName}/${method}`,
    (outcome) => ({
      attributes: {
        'rpc.system': 'grpc',
        'rpc.service': GRPCInferenceService.typeName,
        'rpc.method': method,
        'rpc.grpc.status_code': outcome.code,
        'maas.model.name': 'given' in outcome ? outcome.given.model?.name : undefined,
        'maas.model.version': 'given' in outcome ? outcome.given.model?.version : undefined,
      },
      error: serverErrors.has(outcome.code) ? status[outcome.code] : undefined,
    }),
  );
  if ('error' in settled) throw settled.error;
  return settled.given;
}

/** As OpenTelemetry's conventions have it for servers: the others are the caller's own fault. */
const serverErrors: ReadonlySet<status> = new Set([
  status.INTERNAL,
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
]);

async function answerOne(
  call: (typeof calls)[string],
  caller: Caller,
  request: unknown,
  { models, metrics, checkKey }: GrpcOptions,
): Promise<Given> {
  const start = performance.now();
  const headers = caller.metadata.getMap() as Record<string, string>;
  const lease = models.lease(headers);
  let outcome: Pick<Exchange, 'status' | 'model'> = { status: 500, model: undefined };
  metrics.began();
  try {
    checkKey?.(headers);
    const given = await call(request as never, lease.host, urgencyOf(caller));
    outcome = { status: 200, model: given.model };
    return given;
  } catch (error) {
    const status = error instanceof RequestError ? error.status : 500;
    // What is the caller's fault says nothing of the model.
    outcome = { status, model: status < 500 ? undefined : lease.given };
    throw error;
  } finally {
    lease.end();
    metrics.ended({ ...outcome, protocol: 'grpc', seconds: (performance.now() - start) / 1000 });
  }
}

/** A caller that gives a call up by itself does not want it run after that. */
function urgencyOf(caller: Caller): Urgency {
  const deadline = Number(caller.getDeadline());
  return deadline === Infinity ? {} : { deadline: performance.now() + deadline - Date.now() };
}

/** @param onBug Told of errors that are nobody's fault but ours. */
function asServiceError(error: unknown, onBug?: (error: unknown) => void): Partial<ServiceError> {
  if (error instanceof RequestError) {
    return { code: codes[error.status] ?? status.INTERNAL, details: error.message };
  }
  // The caller learns nothing about our insides; the operator does.
  onBug?.(error);
  return { code: status.INTERNAL, details: 'internal error' };
}
