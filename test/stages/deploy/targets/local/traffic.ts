import { Agent, request } from 'node:http';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

const maas = fileURLToPath(new URL('../../../../../bin/run.js', import.meta.url));

export interface TestServer {
  readonly url: string;
  kill(): Promise<void>;
}

/** `maas serve` of the project in `root`, on a spare port. */
export async function startServer(root: string): Promise<TestServer> {
  const server = execa(process.execPath, [maas, 'serve', '--port', '0', '--events', '--quiet'], {
    cwd: root,
    buffer: false,
    reject: false,
  });
  const ended = server.then(({ exitCode }): never => {
    throw new Error(`the server ended with exit code ${exitCode}`);
  });
  const serves = new Promise<string>((resolve) => {
    createInterface({ input: server.stdout }).on('line', (line) => {
      const event = JSON.parse(line) as { event: string; url: string };
      if (event.event === 'serving') resolve(event.url);
    });
  });
  const url = await Promise.race([serves, ended]);
  ended.catch(() => undefined);
  return {
    url,
    async kill() {
      server.kill('SIGKILL');
      await server;
    },
  };
}

/** Callers who ask for one prediction after the other. */
export class Callers {
  answered = 0;
  readonly failed: string[] = [];
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 8 });
  private isOver = false;
  private readonly work: Promise<unknown>;

  /** @param row What they ask for. */
  constructor(
    private readonly url: string,
    private readonly row: object = { width: 1.1, height: 2, colour: 'red' },
    count = 8,
  ) {
    this.work = Promise.all(Array.from({ length: count }, () => this.askOn()));
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await this.work;
    this.agent.destroy();
  }

  private async askOn(): Promise<void> {
    while (!this.isOver) {
      const told = await this.ask();
      if (told === undefined) this.answered += 1;
      else this.failed.push(told);
    }
  }

  /** What went wrong. */
  private ask(): Promise<string | undefined> {
    const { agent } = this;
    const row = JSON.stringify(this.row);
    const headers = { 'content-type': 'application/json', 'content-length': row.length };
    return new Promise((resolve) => {
      const asked = request(new URL('/predict', this.url), { method: 'POST', agent, headers }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (part: string) => (text += part));
        answer.on('end', () => {
          const isRight = answer.statusCode === 200 && text.includes('"label"');
          resolve(isRight ? undefined : `${answer.statusCode}: ${text}`);
        });
      });
      asked.on('error', (error) => {
        resolve(error.message);
      });
      asked.end(row);
    });
  }
}
