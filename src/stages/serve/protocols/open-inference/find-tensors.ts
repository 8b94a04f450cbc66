import type { Port } from '../../../../data/signature.js';
import type { ServedModel } from '../../../../plugin/api.js';
import { quote } from '../../json/body.js';
import { datatypeOf } from '../../json/tensors.js';
import { RequestError } from '../../request-error.js';
import { sizesOf } from './describe.js';

/**
 * The model's input of this name, when a tensor of this type and shape may go into it. To be asked before the data is
 * read: a shape says how much of it to expect.
 * @throws RequestError 400
 */
export function findInput({ inputs }: ServedModel, name: string, datatype: unknown, shape: unknown): Port {
  const port = inputs.find((each) => each.name === name);
  if (!port) throw unknownName('input', name, inputs);
  const wanted = datatypeOf(port.dtype);
  if (datatype !== wanted) {
    throw new RequestError(400, `input ${name}: datatype must be ${wanted}, found ${quote(datatype)}`);
  }
  if (!fits(shape, port)) {
    const sizes = sizesOf(port).join(', ');
    throw new RequestError(
      400,
      `input ${name}: shape must be [${sizes}] (-1 is any size), found ${quote(shape)}`,
    );
  }
  return port;
}

function fits(shape: unknown, port: Port): shape is number[] {
  return (
    Array.isArray(shape) &&
    shape.length === port.shape.length &&
    shape.every((dim: unknown, axis) => {
      const expected = port.shape[axis]!;
      return typeof expected === 'number'
        ? dim === expected
        : Number.isSafeInteger(dim) && (dim as number) >= 0;
    })
  );
}

/** Names of the outputs that the caller asks for, in that order; all of them when it asks for none. @throws RequestError 400 */
export function findOutputs({ outputs }: ServedModel, asked: readonly string[]): readonly string[] {
  const unknown = asked.find((name) => !outputs.some((port) => port.name === name));
  if (unknown !== undefined) throw unknownName('output', unknown, outputs);
  const twice = asked.find((name, index) => asked.indexOf(name) !== index);
  if (twice !== undefined) throw new RequestError(400, `output ${twice} is asked for twice`);
  return asked.length > 0 ? asked : outputs.map(({ name }) => name);
}

function unknownName(kind: string, name: string, known: readonly Port[]): RequestError {
  const names = known.map((port) => port.name).join(', ');
  return new RequestError(400, `the model has no ${kind} ${name}; it has ${names}`);
}
