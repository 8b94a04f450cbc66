import { MaasError } from '../../../errors.js';
import type { RunningService, ServiceContext } from '../../../plugin/api.js';
import type { ServeOptions } from '../config.js';
import { openDoor, type Door } from './door.js';
import { Group } from './group.js';
import type { Connection } from './member.js';
import type { DoorName } from './messages.js';
import { refuseUnshared, shareOf } from './share.js';

/** Milliseconds for what has connected already when the server is stopped. */
const linger = 100;

/** Milliseconds beyond `drainTimeout` after which a process that does not end is killed. */
const grace = 2000;

/**
 * Starts processes that serve the same behind one port, and another for each that dies. This one accepts the connections, deals
 * them out evenly, and answers nothing itself.
 * @throws MaasError MAAS_USAGE, MAAS_PORT, MAAS_INTERRUPTED, and what keeps one of the processes from starting.
 */
export async function startProcesses(
  context: ServiceContext<ServeOptions>,
  processes: number,
): Promise<RunningService> {
  const { options, beside, signal, emit, source } = context;
  refuseUnshared(options, process.platform);
  if (!beside) {
    throw new MaasError('MAAS_USAGE', 'serve.processes: it is not known how to start another process', {
      hint: 'Leave serve.processes out, so that one process serves.',
    });
  }
  let group: Group | undefined;
  const early: Connection[] = [];
  const doors: Door[] = [];
  const open = async (door: DoorName, port: number): Promise<Door> => {
    const onError = (error: Error): void => {
      emit({ event: 'warning', stage: 'serve', text: `a connection was not accepted: ${error.message}` });
    };
    const opened = await openDoor({ host: options.host, port, onError }, (socket) => {
      if (group) group.deal({ door, socket });
      else early.push({ door, socket });
    });
    doors.push(opened);
    return opened;
  };
  const closeDoors = (): Promise<unknown> => Promise.all(doors.map((door) => door.close(linger)));
  let url: string;
  let grpc: string | undefined;
  try {
    url = (await open('http', options.port)).urlOf(options.tls ? 'https' : 'http');
    if (options.grpcPort !== undefined) grpc = (await open('grpc', options.grpcPort)).address;
  } catch (error) {
    await closeDoors();
    throw error;
  }

  const all = (group = new Group({
    beside,
    emit,
    options: shareOf(options, processes),
    url,
    grpc,
    processes,
  }));
  for (const connection of early) all.deal(connection);
  // A second Ctrl-C ends this process at once.
  const kill = (): void => {
    all.kill();
  };
  process.once('exit', kill);
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= (async () => {
      all.beginStop();
      await closeDoors();
      await all.stop(options.drainTimeout * 1000 + grace);
      process.off('exit', kill);
    })();
    return stopped;
  };
  signal.addEventListener('abort', () => void stop(), { once: true });
  if (signal.aborted) void stop();

  let first;
  try {
    const aborted = new Promise<never>((_, reject) => {
      const interrupt = (): void => {
        reject(new MaasError('MAAS_INTERRUPTED', 'stopped before it was ready'));
      };
      if (signal.aborted) interrupt();
      else signal.addEventListener('abort', interrupt, { once: true });
    });
    aborted.catch(() => undefined);
    first = await Promise.race([all.begun, aborted]);
  } catch (error) {
    if (!signal.aborted) all.kill();
    await stop();
    throw error;
  }
  const { model, digest } = first;
  const failed = all.failed.catch(async (error: unknown): Promise<never> => {
    await stop();
    throw error;
  });
  // Whoever waits for it sees it all the same.
  failed.catch(() => undefined);
  const last = () => (source.kind === 'repository' ? undefined : all.chorus.last);
  return {
    url,
    get model() {
      return last()?.model ?? model;
    },
    get digest() {
      return last()?.digest ?? digest;
    },
    failed,
    stop,
  };
}
