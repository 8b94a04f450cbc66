import { fromBinary, toBinary, type DescMessage, type DescService } from '@bufbuild/protobuf';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';

/** A service of a .proto file in the words of @grpc/grpc-js. `name` is the one that clients know it by. */
export function defineGrpcService(service: DescService, name: string = service.typeName): ServiceDefinition {
  return Object.fromEntries(
    service.methods.map(({ name: method, localName, methodKind, input, output }) => {
      const definition: MethodDefinition<object, object> = {
        path: `/${name}/${method}`,
        requestStream: methodKind === 'client_streaming' || methodKind === 'bidi_streaming',
        responseStream: methodKind === 'server_streaming' || methodKind === 'bidi_streaming',
        ...coder('request', input),
        ...coder('response', output),
      };
      return [localName, definition];
    }),
  );
}

function coder<Kind extends 'request' | 'response'>(
  kind: Kind,
  schema: DescMessage,
): Pick<MethodDefinition<object, object>, `${Kind}Serialize` | `${Kind}Deserialize`> {
  return {
    [`${kind}Serialize`]: (message: object) => {
      const { buffer, byteOffset, byteLength } = toBinary(schema, message as never);
      return Buffer.from(buffer, byteOffset, byteLength);
    },
    [`${kind}Deserialize`]: (bytes: Buffer) => fromBinary(schema, bytes),
  } as never;
}
