import { create, toBinary, type DescFile } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import {
  ServerReflectionResponseSchema,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from './reflection.generated.js';

type Answer = ServerReflectionResponse['messageResponse'];

/** NOT_FOUND. */
const notFound = 5;

/**
 * Tells of the services in these files, one answer for each question.
 * @param stopped Ends the streams of those who may have more questions.
 */
export function reflect(files: readonly DescFile[], stopped: AbortSignal) {
  const answer = (question: ServerReflectionRequest['messageRequest']): Answer => {
    switch (question.case) {
      case 'listServices': {
        const service = files.flatMap((file) => file.services.map(({ typeName: name }) => ({ name })));
        return make({ case: 'listServicesResponse', value: { service } });
      }
      case 'fileByFilename':
        return give(files.find(({ proto }) => proto.name === question.value));
      case 'fileContainingSymbol':
        return give(files.find((file) => holds(file, question.value)));
      default:
        return give(undefined);
    }
  };
  return (call: ServerDuplexStream<ServerReflectionRequest, ServerReflectionResponse>): void => {
    call.on('data', (request: ServerReflectionRequest) => {
      const messageResponse = answer(request.messageRequest);
      call.write(
        create(ServerReflectionResponseSchema, {
          validHost: request.host,
          originalRequest: request,
          messageResponse,
        }),
      );
    });
    const end = (): void => {
      call.end();
    };
    call.on('end', end).on('error', end);
    stopped.addEventListener('abort', end);
    call.once('close', () => {
      stopped.removeEventListener('abort', end);
    });
  };
}

function holds({ messages, enums, services }: DescFile, symbol: string): boolean {
  const names = [...messages, ...enums, ...services].map(({ typeName }) => typeName);
  // A method, a field or an inner message lies below the name of what holds it.
  return names.some((name) => symbol === name || symbol.startsWith(`${name}.`));
}

function give(file: DescFile | undefined): Answer {
  if (file) {
    const fileDescriptorProto = [toBinary(FileDescriptorProtoSchema, file.proto)];
    return make({ case: 'fileDescriptorResponse', value: { fileDescriptorProto } });
  }
  return make({
    case: 'errorResponse',
    value: { errorCode: notFound, errorMessage: 'there is no such thing' },
  });
}

function make(
  messageResponse: NonNullable<
    Parameters<typeof create<typeof ServerReflectionResponseSchema>>[1]
  >['messageResponse'],
): Answer {
  return create(ServerReflectionResponseSchema, { messageResponse }).messageResponse;
}
