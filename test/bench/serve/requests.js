// Requests as clients of the Open Inference Protocol send them, byte by byte.
import { models, randomNumbers } from './models.js';

/**
 * Whole HTTP requests, `variety` different ones, so that nobody answers the same bytes from memory. JSON holds numbers as Python prints float32 ones: exactly, as
 * doubles.
 */
export function makeRequests({ model, rows, protocol, path, variety = 32 }) {
  const next = randomNumbers(rows + 11);
  return Array.from({ length: rows === 1 ? variety : 4 }, () => {
    const { data, ...input } = models[model].row(rows, next);
    const { head, body } = protocol === 'binary' ? asBinary(input, data) : asJson(input, data);
    const lines = `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${head}Content-Length: ${body.length}\r\n\r\n`;
    return Buffer.concat([Buffer.from(lines), body]);
  });
}

function asJson(input, data) {
  const body = `{"inputs":[${JSON.stringify(input).slice(0, -1)},"data":[${data.join()}]}]}`;
  return { head: 'Content-Type: application/json\r\n', body: Buffer.from(body) };
}

function asBinary(input, data) {
  const bytes = new Uint8Array(data.buffer);
  const parameters = { binary_data_size: bytes.length };
  const json = Buffer.from(
    JSON.stringify({ inputs: [{ ...input, parameters }], parameters: { binary_data_output: true } }),
  );
  const head = `Content-Type: application/octet-stream\r\nInference-Header-Content-Length: ${json.length}\r\n`;
  return { head, body: Buffer.concat([json, bytes]) };
}
