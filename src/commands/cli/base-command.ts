import { Command, Flags, type Interfaces } from '@oclif/core';
import { createReporter, type Reporter } from './reporter.js';
import { asInterruption, listenForStop, type StopSignal } from './signals.js';
import { usageError } from './usage-errors.js';

export type FlagsOf<T extends typeof Command> = Interfaces.InferredFlags<
  (typeof BaseCommand)['baseFlags'] & T['flags']
>;
export type ArgsOf<T extends typeof Command> = Interfaces.InferredArgs<T['args']>;

export interface CommandResult {
  /** What --json prints. */
  readonly json: object;
  /** What people read on stdout instead. */
  readonly text: string;
}

/** What all commands share: the flags, where output goes, signals, and exit codes by kind of error. */
export abstract class BaseCommand<T extends typeof Command> extends Command {
  static override baseFlags = {
    json: Flags.boolean({
      summary: 'Print the result as one JSON object on stdout.',
      helpGroup: 'OUTPUT',
      exclusive: ['events'],
    }),
    events: Flags.boolean({
      summary: 'Print progress as newline-delimited JSON on stdout; the last line is the result.',
      helpGroup: 'OUTPUT',
    }),
    verbose: Flags.boolean({
      summary: 'Print every line of progress, and stacks of errors.',
      helpGroup: 'OUTPUT',
      exclusive: ['quiet'],
    }),
    quiet: Flags.boolean({ summary: 'Print errors and results only.', helpGroup: 'OUTPUT' }),
  };

  protected flags!: FlagsOf<T>;
  protected args!: ArgsOf<T>;
  protected reporter: Reporter = createReporter({
    json: this.argv.includes('--json'),
    events: this.argv.includes('--events'),
    quiet: this.argv.includes('--quiet'),
    verbose: this.argv.includes('--verbose'),
  });
  protected stopping!: StopSignal;

  /** Flags that nobody gave. */
  protected defaulted: ReadonlySet<string> = new Set();

  /** The command's work; nothing comes back when it has printed its result itself. */
  protected abstract execute(): Promise<CommandResult | undefined>;

  /** What is known so far; joins the JSON form of a failure. */
  protected known(): object {
    return {};
  }

  override async init(): Promise<void> {
    await super.init();
    this.stopping = listenForStop((name) => {
      this.onStop(name);
    });
    const type = this.ctor as typeof BaseCommand & T;
    const { flags, args, metadata } = await this.parse({
      flags: type.flags,
      baseFlags: BaseCommand.baseFlags,
      args: type.args,
      strict: type.strict,
    }).catch((error: unknown) => {
      throw usageError(error, this.id);
    });
    this.flags = flags as FlagsOf<T>;
    this.args = args as ArgsOf<T>;
    this.defaulted = new Set(
      Object.keys(metadata.flags).filter((name) => metadata.flags[name]?.setFromDefault),
    );
  }

  override async run(): Promise<void> {
    const result = await this.execute();
    if (result) this.reporter.result(result.json, result.text);
  }

  protected onStop(name: string): void {
    this.reporter.say(`\n${name}: stopping; once more to stop at once`);
  }

  protected override catch(error: unknown): Promise<void> {
    const reason = this.stopping?.signal ? asInterruption(error, this.stopping.signal) : error;
    process.exitCode = this.reporter.fail(reason, this.known());
    return Promise.resolve();
  }

  protected override finally(): Promise<void> {
    this.stopping?.dispose();
    return Promise.resolve();
  }
}
