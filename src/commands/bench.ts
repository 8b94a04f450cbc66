import { Args, Flags } from '@oclif/core';
import { MaasError } from '../errors.js';
import type { LoadReport, LoadTest } from '../stages/serve/load-test/index.js';
import { judgeLoad } from '../stages/serve/load-test/judge.js';
import { loadTable } from '../ui/load-table.js';
import { withSpinner } from '../ui/spinner.js';
import type { CommandResult } from './cli/base-command.js';
import { headerOf, numbersOf, shapeOf, urlOf } from './cli/load-flags.js';
import { ProjectCommand, projectFlags } from './cli/project-command.js';
import { startServer } from './cli/start-server.js';

export default class Bench extends ProjectCommand<typeof Bench> {
  static override summary = 'Measure a model server: how many requests it answers, and how soon.';
  static override description =
    'Works on any server of the Open Inference Protocol; without an address it serves the current release, or FILE.onnx, in a process of its own. Callers that ask again as soon as they are answered (--concurrency) show how much a server can take; requests that come at their own times (--rate) show how long they wait: latencies count from when a request was due, so that stalls are not hidden. Ends with 3 when a limit is missed or a request fails.';
  static override examples = [
    { description: 'Measure the current release', command: '<%= config.bin %> bench' },
    { description: 'Measure a file', command: '<%= config.bin %> bench resnet50.onnx --concurrency 1,8,64' },
    {
      description: 'Measure another server, 500 requests a second, and fail above 20 ms',
      command: '<%= config.bin %> bench http://localhost:8000 --model iris --rate 500 --max-p99 20',
    },
    {
      description: 'Send requests of your own',
      command: '<%= config.bin %> bench http://localhost:8080/predict --requests rows.jsonl',
    },
  ];
  static override args = {
    target: Args.string({
      description: 'Address of a server or of a model on it, or an ONNX file.',
      required: false,
    }),
  };
  static override flags = {
    ...projectFlags,
    model: Flags.string({ summary: 'Which of the server’s models.', helpValue: 'NAME' }),
    concurrency: Flags.string({
      summary: 'Callers at once, each with one request at a time; a list measures each.  [default: 1,8,64]',
      helpValue: 'N,…',
    }),
    rate: Flags.string({
      summary: 'Requests a second that come at random times, whatever was answered; a list measures each.',
      helpValue: 'N,…',
    }),
    connections: Flags.integer({ summary: 'Connections for --rate.', default: 64, min: 1, max: 10_000 }),
    duration: Flags.string({
      summary: 'Seconds of each measurement.',
      default: '10',
      helpValue: 'SECONDS',
    }),
    'warm-up': Flags.string({
      summary: 'Seconds before each that do not count.',
      default: '1',
      helpValue: 'SECONDS',
    }),
    timeout: Flags.string({
      summary: 'Seconds until an answer that does not come counts as failed.',
      default: '30',
      helpValue: 'SECONDS',
    }),
    protocol: Flags.string({
      summary: 'How tensors are sent: as JSON, or by the binary extension.',
      options: ['json', 'binary'],
      default: 'json',
    }),
    batch: Flags.integer({ summary: 'Rows of each request.', default: 1, min: 1 }),
    shape: Flags.string({
      summary: 'Shape of an input whose axes are open. May be given several times.',
      helpValue: 'INPUT:1,128',
      multiple: true,
      multipleNonGreedy: true,
    }),
    requests: Flags.string({
      summary: 'Bodies to send instead, one JSON body a line, to the path of the address.',
      helpValue: 'FILE',
    }),
    header: Flags.string({
      summary: 'A header of every request, as in "Authorization: Bearer …". May be given several times.',
      helpValue: '"NAME: VALUE"',
      multiple: true,
      multipleNonGreedy: true,
    }),
    'max-p99': Flags.string({
      summary: 'Fail when 1 % of the answers take longer than so many milliseconds.',
      helpValue: 'MS',
    }),
    'min-throughput': Flags.string({
      summary: 'Fail below so many answers a second.',
      helpValue: 'N',
    }),
  };

  private report: LoadReport | undefined;

  protected override known(): object {
    return { ...this.report };
  }

  protected override async execute(): Promise<CommandResult> {
    const { flags } = this;
    const one = (name: 'duration' | 'warm-up' | 'timeout' | 'max-p99' | 'min-throughput', least: number) =>
      numbersOf(name, flags[name], { least, single: true })[0];
    const rates = numbersOf('rate', flags.rate, { least: 0.1 });
    const test: Omit<LoadTest, 'url'> = {
      model: flags.model,
      requestsFile: flags.requests,
      headers: Object.fromEntries((flags.header ?? []).map(headerOf)),
      concurrency: numbersOf('concurrency', flags.concurrency ?? (rates.length > 0 ? '' : '1,8,64'), {
        least: 1,
        most: 10_000,
        whole: true,
      }),
      rates,
      connections: flags.connections,
      seconds: one('duration', 0.1)!,
      warmUp: one('warm-up', 0)!,
      timeout: one('timeout', 0.001)! * 1000,
      protocol: flags.protocol as 'json' | 'binary',
      batch: flags.batch,
      shapes: Object.fromEntries((flags.shape ?? []).map(shapeOf)),
      signal: this.stopping.signal,
    };
    const limits = { maxP99: one('max-p99', 0), minThroughput: one('min-throughput', 0) };
    const { url, report } = await this.measure(test);
    this.report = report;
    judgeLoad(report, limits, (text) => {
      this.reporter.say(
        loadTable(report, { color: this.reporter.progress.color, batch: flags.batch }) + text,
      );
    });
    return {
      json: { status: 'done', url, protocol: flags.protocol, batch: flags.batch, ...report },
      text: loadTable(report, { color: this.reporter.color, batch: flags.batch }),
    };
  }

  private async measure(test: Omit<LoadTest, 'url'>): Promise<{ url: string; report: LoadReport }> {
    const { testLoad } = await import('../stages/serve/load-test/index.js');
    const run = (url: URL): Promise<LoadReport> =>
      testLoad({ ...test, url }, (text) => {
        this.reporter.emit({ event: 'note', stage: 'bench', text });
        if (this.reporter.progress.mode !== 'silent') this.reporter.say(`  ${text} …`);
      });
    const { target } = this.args;
    if (target !== undefined && /^https?:/i.test(target)) {
      const url = urlOf(target);
      return { url: url.href, report: await run(url) };
    }
    if (test.requestsFile !== undefined) {
      throw new MaasError('MAAS_USAGE', '--requests needs the address that they are sent to', {
        hint: 'Start `maas serve`, and run `maas bench http://localhost:8080/predict --requests FILE`.',
      });
    }
    const server = await withSpinner('Starting maas serve', this.reporter.progress, () =>
      startServer(target === undefined ? this.ownConfig() : [target, ...this.ownConfig()], test.signal),
    );
    try {
      return { url: server.url.href, report: await run(new URL(server.url)) };
    } finally {
      await server.stop();
    }
  }

  /** What `maas serve` must be told of this command line. */
  private ownConfig(): string[] {
    const { config, set = [] } = this.flags;
    const file = this.defaulted.has('config') ? [] : ['--config', config];
    return [...file, ...set.flatMap((override) => ['--set', override])];
  }
}
