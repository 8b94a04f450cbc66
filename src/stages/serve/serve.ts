import { resolve } from 'node:path';
import { MaasError } from '../../errors.js';
import type { ModelSource, RunningService, ServiceContext } from '../../plugin/api.js';
import type { ProgressEvent } from '../../plugin/events.js';
import { requireKey } from './access.js';
import { createAnswerer } from './answer.js';
import type { ServeOptions } from './config.js';
import { followLink } from './follow.js';
import type { GrpcFront } from './grpc/listen.js';
import { listenHttp, type Answer, type Caller, type HttpFront } from './http.js';
import { openModel, type LoadedModel } from './loaded-model.js';
import { createMetrics } from './metrics.js';
import { readOnnxFile, type ModelFiles } from './model-files.js';
import { ModelHost } from './model-host.js';
import type { PaddingOrder } from './padding/open.js';
import { readMemoryLimit } from './placement.js';
import { BodyPool } from './plain-http/body-pool.js';
import { describeMisfit, readInstructionSet } from '../../runtime/cpu.js';
import { readRelease } from './release.js';
import { followCredentials, readCredentials } from './tls.js';
import type { FolderRepository } from './repository/repository.js';
import { Trial } from './trial.js';
import { openWatch } from './watch/open-watch.js';
import type { Part } from './processes/part.js';
import type { SpareThread } from '../../runtime/thread/spare-thread.js';

/**
 * Listens, loads what is to be served, and is ready. With `follow` it goes over to each new release as the link is
 * switched, or to the file or the models as they change: loaded and warmed up beside the old one, which answers until
 * then and finishes what it began.
 * @param spare A thread for the first worker; the caller closes it, should this fail.
 * @param part Of one that serves in several processes: what this one has of the others.
 * @throws MaasError MAAS_PORT, MAAS_RELEASE_MISSING, MAAS_ARTIFACT_CORRUPT, MAAS_MODEL_INVALID, MAAS_VERIFY_FAILED,
 * MAAS_USAGE, MAAS_INTERRUPTED
 */
export async function startServing(
  context: ServiceContext<ServeOptions>,
  spare?: SpareThread,
  part?: Part,
): Promise<RunningService> {
  const { options, source, registry, signal, emit } = context;
  const warn = (text: string): void => {
    emit({ event: 'warning', stage: 'serve', text });
  };
  const onBug = (error: unknown): void => {
    warn(`a request failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  };
  let repository: FolderRepository | undefined;
  const models = new ModelHost({
    warn,
    ...(options.models && { traffic: options.models }),
    ...(part && { othersReady: () => part.allReady }),
    onShadow: (report) => {
      metrics.shadowed(report);
    },
    ...(source.kind === 'repository' && {
      memoryBudget: options.memoryBudget === 'auto' ? readMemoryLimit() / 2 : options.memoryBudget,
      repository: {
        load: async (name) => (part ? part.order('load', name) : repository?.load(name)),
        unload: async (name) => (part ? part.order('unload', name) : repository?.unload(name)),
      },
    }),
  });
  const metrics = createMetrics(models);
  const { answer, fail } = createAnswerer({
    models,
    protocols: [...registry.protocols.values()],
    metrics: part ? { ...metrics, print: part.printAll } : metrics,
    onBug,
  });
  const { keys, tls, accessLog } = options;
  // Loaded where it is wanted.
  const tracing = options.tracing && new (await import('./trace/tracing.js')).Tracing(options.tracing, warn);
  const files = tls && {
    cert: resolve(context.root ?? '', tls.cert),
    key: resolve(context.root ?? '', tls.key),
  };
  const credentials = files && (await readCredentials(files));
  const checkKey = keys && requireKey(keys);
  const bodies = new BodyPool();
  const watch = await openWatch(options, { root: context.root ?? '', metrics, warn, onBug });
  // First the port: a taken one is no reason to wait for a model, and a probe gets to see "not ready".
  const front = await listenHttp({
    ...options,
    takeConnections: part?.takeHttp,
    bodies,
    credentials,
    ...(checkKey && {
      admit: (headers, path) => {
        // What asks these is part of the machinery, and they tell nothing of the models.
        if (!path.startsWith('/v2/health/')) checkKey(headers);
      },
    }),
    answer: tracing ? (request) => tracing.answer(request, answer) : answer,
    fail,
    onBegin: metrics.began,
    onEnd: (answered, seconds, caller) => {
      if (accessLog) emit(describeRequest(caller, answered, seconds));
      if (!answered) metrics.abandoned();
      else {
        const { protocol, status, model } = answered;
        metrics.ended({ protocol, status, model, seconds });
      }
    },
    onError: (error) => {
      warn(`a connection was not accepted: ${error.message}`);
    },
  });

  // One after another: each looks how much memory the others left it.
  let opening: Promise<unknown> = Promise.resolve();
  let grpc: GrpcFront | undefined;
  const here = await readInstructionSet();
  const open = async (files: ModelFiles): Promise<LoadedModel> => {
    await models.makeRoom(files.size);
    const misfit = describeMisfit(files.target, here);
    if (misfit !== undefined) warn(misfit);
    const model = await openModel(files, {
      ...options,
      processes: part?.start.processes ?? 1,
      prepares: part === undefined || part.start.index === 0,
      bodies,
      onRun: tracing
        ? (...run) => {
            metrics.ran(...run);
            tracing.ran(...run);
          }
        : metrics.ran,
      onCache: metrics.cacheUsed,
      padding: paddingFor(files.name, options, source),
      onElements: metrics.filled,
      onUnpadded: ({ name }, reason) => {
        warn(`${name} gets no request padded from now on: ${reason}`);
      },
      spare,
      cacheFolder: options.prepare ? context.cache : undefined,
      onPrepared: (error) => {
        const text = error
          ? `${files.name} cannot be prepared for the next start: ${error.message}`
          : `${files.name} is prepared for this processor: it opens sooner from now on`;
        emit({ event: 'note', stage: 'serve', text });
      },
      onThreads: (threads, error) => {
        if (error) warn(`${files.name} runs in no more threads: ${error.message}`);
        const text = `${files.name} runs in ${threads} threads when a run is alone`;
        if (threads > 1) emit({ event: 'note', stage: 'serve', text });
      },
      onLost: (reason) => {
        metrics.workerLost();
        warn(`a worker is replaced: ${reason}`);
      },
    });
    await spare?.close();
    announce(model, front, grpc, context);
    const watched = watch?.attend(model, files) ?? model;
    return tracing?.attend(watched) ?? watched;
  };
  const openInTurn = (files: ModelFiles): Promise<LoadedModel> => {
    const turn = opening.catch(() => undefined).then(() => open(files));
    opening = turn;
    return turn;
  };
  const isFile = source.kind === 'file';
  const serveAlone = async (path: string): Promise<void> => {
    models.replace(await openInTurn(await (isFile ? readOnnxFile(path) : readRelease(path))));
  };
  const stopRenewing =
    files &&
    followCredentials(
      files,
      (renewed) => {
        front.renew(renewed);
        grpc?.renew(renewed);
      },
      (error) => {
        warn(`the renewed certificate is refused, the one before it goes on: ${describeError(error)}`);
      },
    );
  let follower: { stop(): Promise<void> } | undefined;
  try {
    signal.throwIfAborted();
    if (options.grpcPort !== undefined) {
      const { listenGrpc } = await import('./grpc/listen.js');
      grpc = await listenGrpc({
        ...options,
        port: options.grpcPort,
        takeConnections: part?.takeGrpc,
        models,
        metrics,
        tracing,
        onBug,
        credentials,
        checkKey,
      });
    }
    if (source.kind === 'repository') {
      const { FolderRepository } = await import('./repository/repository.js');
      follower = repository = await FolderRepository.open({
        folder: source.path,
        open: async ({ path, kind }, name, version) => {
          const files = await (kind === 'file' ? readOnnxFile(path) : readRelease(path));
          return openInTurn({ ...files, name, version });
        },
        host: models,
        warn,
        ...(part && { unloaded: part.start.unloaded }),
      });
    } else if (source.follow) {
      const onRefused = (path: string, error: unknown): void => {
        metrics.reloaded('refused');
        warn(`${path} is refused, the model before it goes on: ${describeError(error)}`);
      };
      const trial = new Trial({
        link: source.path,
        host: models,
        open: async (path, name) => {
          const files = await readRelease(path);
          return openInTurn({ ...files, ...(name !== undefined && { name }) });
        },
        onRefused,
      });
      const link = await followLink({
        link: source.path,
        ...(isFile && { mark: '' }),
        open: async (path) => {
          const first = models.current === undefined;
          await (isFile ? serveAlone(path) : trial.go(path));
          if (!first) metrics.reloaded('done');
        },
        onRefused,
      });
      if (!isFile) trial.watch();
      follower = {
        stop: async () => {
          await Promise.all([link.stop(), trial.stop()]);
        },
      };
    } else await serveAlone(source.path);
    signal.throwIfAborted();
    part?.attend({ isWell: () => models.well, metrics, repository });
  } catch (error) {
    stopRenewing?.();
    await follower?.stop();
    await grpc?.stop(0);
    await front.stop(0);
    await models.close();
    await Promise.all([watch?.close(), tracing?.close()]);
    if (signal.aborted)
      throw new MaasError('MAAS_INTERRUPTED', 'stopped before it was ready', { cause: error });
    throw error;
  }

  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= (async () => {
      models.beginStop();
      stopRenewing?.();
      await follower?.stop();
      const drain = options.drainTimeout * 1000;
      const [cut] = await Promise.all([front.stop(drain), grpc?.stop(drain)]);
      if (cut > 0) warn(`${cut} requests were cut off after ${options.drainTimeout} s`);
      await models.close();
      await Promise.all([watch?.close(), tracing?.close()]);
    })();
    return stopped;
  };
  signal.addEventListener('abort', () => void stop(), { once: true });
  return {
    url: front.url,
    get model() {
      return models.current?.name ?? '';
    },
    get digest() {
      return models.current?.version ?? '';
    },
    stop,
  };
}

/** A model's own padding, or that of all; of several models not each has every dimension. */
function paddingFor(
  name: string,
  { padding, models }: ServeOptions,
  { kind }: ModelSource,
): PaddingOrder | undefined {
  const own = models?.[name]?.padding;
  const dimensions = own ?? padding;
  if (!dimensions || Object.keys(dimensions).length === 0) return undefined;
  return { dimensions, forSeveral: own === undefined && kind === 'repository' };
}

function announce(
  model: LoadedModel,
  front: HttpFront,
  grpc: GrpcFront | undefined,
  { emit, options }: ServiceContext<ServeOptions>,
): void {
  if (model.unbatched !== undefined) {
    emit({ event: 'note', stage: 'serve', text: `each row runs by itself: ${model.unbatched}` });
  }
  if (model.padded.length > 0) {
    const text = `requests of ${model.name} are padded along ${model.padded.join(' and ')} to share runs`;
    emit({ event: 'note', stage: 'serve', text });
  } else if (model.unpadded !== undefined) {
    const text = `${model.name} gets no request padded: ${model.unpadded}`;
    emit({ event: 'warning', stage: 'serve', text });
  }
  const count = model.workers === 1 ? '1 worker thread' : `${model.workers} worker threads`;
  const few = model.rowsBeside === 1 ? 'a single row' : `up to ${model.rowsBeside} rows`;
  const beside = model.rowsBeside > 0 ? ` (${few} in the server's own)` : '';
  const help = model.rowsBeside > 0 ? ` (more than ${model.rowsBeside} rows in another)` : '';
  const where = model.workers > 0 ? `${count}${beside}` : `the server's own thread${help}`;
  const runs = model.maxBatchSize > 1 ? `up to ${model.maxBatchSize} rows a run` : 'one request a run';
  const threads =
    options.threads === 1 || options.threads === 'auto' ? '1 thread' : `${options.threads} threads`;
  emit({
    event: 'note',
    stage: 'serve',
    text: `${model.name} runs in ${where}, ${runs}, ${threads} inside one`,
  });
  const { name, version } = model;
  emit({
    event: 'serving',
    url: front.url,
    model: name,
    digest: version,
    ...(grpc && { grpc: grpc.address }),
  });
}

/** One line of the access log. Ids are the caller's own: they come with quotes, and cut short. */
function describeRequest(caller: Caller, answer: Answer | undefined, seconds: number): ProgressEvent {
  const { method = 'GET', url = '/', headers, socket } = caller;
  const textOf = (name: string): string | undefined => headers[name]?.toString().slice(0, 256);
  return {
    event: 'request',
    method,
    path: url.slice(0, 1024),
    seconds,
    ...(socket.remoteAddress !== undefined && { remote: socket.remoteAddress }),
    ...(answer && { status: answer.status, protocol: answer.protocol }),
    ...(answer?.model && { model: answer.model.name, version: answer.model.version }),
    ...(headers['x-request-id'] !== undefined && { id: textOf('x-request-id') }),
    ...(headers['traceparent'] !== undefined && { traceparent: textOf('traceparent') }),
  };
}

function describeError(error: unknown): string {
  return error instanceof MaasError ? `${error.message} (${error.code})` : String(error);
}
