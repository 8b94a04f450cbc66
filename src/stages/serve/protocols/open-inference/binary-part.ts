import type { HttpRequest } from '../../../../plugin/api.js';
import { jsonOf } from '../../json/body.js';
import { RequestError } from '../../request-error.js';

/** What follows the JSON of a request: tensors one after another, in the order of the inputs. */
export class BinaryPart {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Bytes that are left. */
  get length(): number {
    return this.#bytes.length - this.#offset;
  }

  /** The next `size` bytes. @throws RequestError 400 when there are not as many. */
  take(name: string, size: unknown): Uint8Array {
    // Where a model takes 64-bit integers, all large numbers of its requests are read as such.
    const count = typeof size === 'bigint' ? Number(size) : size;
    if (!Number.isSafeInteger(count) || (count as number) < 0) {
      throw new RequestError(400, `input ${name}: binary_data_size must be a number of bytes`);
    }
    const end = this.#offset + (count as number);
    if (end > this.#bytes.length) {
      const left = this.#bytes.length - this.#offset;
      throw new RequestError(
        400,
        `input ${name}: binary_data_size is ${String(size)}, ${left} bytes are left`,
      );
    }
    const taken = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return taken;
  }

  /** @throws RequestError 400 when bytes are left that no input takes. */
  end(): void {
    const left = this.#bytes.length - this.#offset;
    if (left > 0) throw new RequestError(400, `${left} bytes behind the JSON belong to no input`);
  }
}

/**
 * The JSON of an inference request, UTF-8, and the bytes behind it.
 * @throws RequestError 400, 415
 */
export function splitBody(request: HttpRequest): { json: Buffer; rest: BinaryPart } {
  const { headers, body } = request;
  const declared = headers['inference-header-content-length'];
  if (declared === undefined) return { json: jsonOf(request), rest: new BinaryPart(new Uint8Array()) };
  const length = /^\d+$/.test(String(declared)) ? Number(declared) : NaN;
  if (!(length <= body.length)) {
    throw new RequestError(
      400,
      `Inference-Header-Content-Length is ${String(declared)}, the body has ${body.length} bytes`,
    );
  }
  // Bytes behind it make the whole no JSON, whatever its type says: clients send either.
  const json = jsonOf({
    headers: { 'content-encoding': headers['content-encoding'] },
    body: body.subarray(0, length),
  });
  return { json, rest: new BinaryPart(body.subarray(length)) };
}
