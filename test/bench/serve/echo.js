// The floor of HTTP: a bare node:http server that reads a body and answers with as many bytes as its parent says.
import { createServer } from 'node:http';

let answer = Buffer.alloc(64);
const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    if (chunks.length > 1) Buffer.concat(chunks);
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length });
    response.end(answer);
  });
});
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
process.on('message', ({ bytes }) => {
  answer = Buffer.alloc(bytes, 32);
  process.send({ bytes });
});
