import { create } from '@bufbuild/protobuf';
import { status, type sendUnaryData, type ServerUnaryCall, type ServerWritableStream } from '@grpc/grpc-js';
import {
  HealthCheckResponse_ServingStatus as Serving,
  HealthCheckResponseSchema,
  type HealthCheckRequest,
  type HealthCheckResponse,
} from './health.generated.js';

/** Milliseconds between looks for those who watch. */
const watchInterval = 250;

/**
 * `''` stands for the server as a whole.
 * @param stopped Ends the watches: nobody who looks on may hold up a stop.
 */
export function checkHealth(services: readonly string[], isReady: () => boolean, stopped: AbortSignal) {
  const look = (service: string): HealthCheckResponse | undefined => {
    if (service !== '' && !services.includes(service)) return undefined;
    return create(HealthCheckResponseSchema, { status: isReady() ? Serving.SERVING : Serving.NOT_SERVING });
  };
  return {
    check(
      { request }: ServerUnaryCall<HealthCheckRequest, HealthCheckResponse>,
      answer: sendUnaryData<HealthCheckResponse>,
    ): void {
      const found = look(request.service);
      if (found) answer(null, found);
      else answer({ code: status.NOT_FOUND, details: `there is no service ${request.service}` });
    },
    watch(call: ServerWritableStream<HealthCheckRequest, HealthCheckResponse>): void {
      let last: Serving | undefined;
      const tell = (): void => {
        const now =
          look(call.request.service) ??
          create(HealthCheckResponseSchema, { status: Serving.SERVICE_UNKNOWN });
        if (now.status !== last) call.write(now);
        last = now.status;
      };
      tell();
      const timer = setInterval(tell, watchInterval);
      const end = (): void => {
        tell();
        call.end();
      };
      stopped.addEventListener('abort', end);
      call.once('cancelled', () => {
        call.end();
      });
      call.once('close', () => {
        clearInterval(timer);
        stopped.removeEventListener('abort', end);
      });
    },
  };
}
