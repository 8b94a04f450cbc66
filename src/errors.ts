/** Exit codes are part of the interface: scripts and CI steps branch on them. */
export const exitCodes = {
  ok: 0,
  bug: 1,
  usage: 2,
  gate: 3,
  environment: 4,
  interrupted: 130,
} as const;

export type ExitKind = Exclude<keyof typeof exitCodes, 'ok'>;

/**
 * Every error a user can meet, in one place: what kind of failure it is (and so the exit code)
 * and what to do about it when the place that throws knows nothing better.
 */
export const catalogue = {
  MAAS_CONFIG_MISSING: {
    exit: 'usage',
    hint: 'Run `maas init DIR` to scaffold a project, or pass --config FILE.',
  },
  MAAS_CONFIG_SYNTAX: { exit: 'usage', hint: 'Fix the YAML at the marked place.' },
  MAAS_CONFIG_INVALID: { exit: 'usage', hint: 'Fix the value at the marked place.' },
  MAAS_CONFIG_UNKNOWN_KEY: { exit: 'usage', hint: 'Remove the key, or correct its spelling.' },
  MAAS_CONFIG_ENV: { exit: 'usage', hint: 'Export the variable, or write ${NAME:-default}.' },
  MAAS_USAGE: { exit: 'usage', hint: 'Run `maas --help`.' },
  MAAS_DATA_MISSING: { exit: 'usage', hint: 'Check data.source: paths are relative to the config file.' },
  MAAS_DATA_EMPTY: {
    exit: 'usage',
    hint: 'The file needs a header line and at least one row per class and split.',
  },
  MAAS_DATA_COLUMN: { exit: 'usage', hint: 'Check the column names in the header line against the config.' },
  MAAS_DATA_VALUE: { exit: 'usage', hint: 'Correct the value, or drop the row.' },
  MAAS_DATA_SYNTAX: { exit: 'usage', hint: 'Check quoting and delimiters at that line.' },
  MAAS_DATA_SPLIT: { exit: 'usage', hint: 'Give the split a larger share, or add rows.' },
  MAAS_DATA_CHANGED: {
    exit: 'usage',
    hint: 'Run `maas train` again: the held-out rows must be those the model was not trained on.',
  },
  MAAS_MODEL_INVALID: { exit: 'usage', hint: 'Check that the file is a complete ONNX model.' },
  MAAS_MODEL_UNSUPPORTED: {
    exit: 'usage',
    hint: 'Freeze the model up to that node, or use another operator.',
  },
  MAAS_MODEL_SHAPE: { exit: 'usage', hint: 'Check the layer sizes against the data.' },
  MAAS_TRAIN_DIVERGED: {
    exit: 'usage',
    hint: 'Lower the learning rate, or look for extreme values in the data.',
  },
  MAAS_TRAINER_FAILED: {
    exit: 'usage',
    hint: 'Mend what its last lines tell, and run the same command again.',
  },
  MAAS_RANKS_FAILED: {
    exit: 'environment',
    hint: 'Run the same command again: training goes on from its last checkpoint.',
  },
  MAAS_JOB_FAILED: {
    exit: 'environment',
    hint: 'Mend what it says, and submit again: training goes on from its last checkpoint.',
  },
  MAAS_GATE_FAILED: {
    exit: 'gate',
    hint: 'The previous artifact stays in place. Loosen the gate or change the passes.',
  },
  MAAS_VERIFY_FAILED: { exit: 'gate', hint: 'The previous release stays in place.' },
  MAAS_CANARY_FAILED: { exit: 'gate', hint: 'The current release has all requests, as before.' },
  MAAS_CANARY_SERVER: {
    exit: 'environment',
    hint: 'A canary needs the running server: start `maas serve`, name it in deploy.canary.url, or leave deploy.canary out.',
  },
  MAAS_UNTRUSTED: {
    exit: 'gate',
    hint: 'Sign it with deploy.sign, and have the public key in deploy.trust. The previous release stays in place.',
  },
  MAAS_STAGE_MISSING: { exit: 'usage', hint: 'Run the earlier stage first, or `maas run`.' },
  MAAS_ARTIFACT_CORRUPT: { exit: 'usage', hint: 'Run the stage that made it again with --force.' },
  MAAS_RELEASE_MISSING: { exit: 'usage', hint: 'Run `maas deploy` first.' },
  MAAS_LOCKED: { exit: 'environment', hint: 'Wait for the other run to end, or stop it.' },
  MAAS_DISK: {
    exit: 'environment',
    hint: 'Check permissions and free space, then run the same command again.',
  },
  MAAS_SERVER: {
    exit: 'environment',
    hint: 'Check the address, and that the server runs and is ready.',
  },
  MAAS_PORT: { exit: 'environment', hint: 'Choose another with --port, or stop the program that holds it.' },
  MAAS_PROGRAM: {
    exit: 'environment',
    hint: 'Check that the program is installed and works by itself, then run the same command again.',
  },
  MAAS_REGISTRY: {
    exit: 'environment',
    hint: 'Check the address, the login and the network, then run the same command again: what was uploaded stays.',
  },
  MAAS_ENGINE_MISSING: {
    exit: 'environment',
    hint: 'Choose another train.engine, or install what it needs.',
  },
  MAAS_DOWNLOAD: {
    exit: 'environment',
    hint: 'Check the network, then run the same command again: it goes on where it stopped.',
  },
  MAAS_COMPILER: { exit: 'environment', hint: 'Install a C++ compiler, then run the same command again.' },
  MAAS_RUNTIME: { exit: 'environment', hint: 'Reinstall dependencies with `npm ci`.' },
  MAAS_PLUGIN_FAILED: { exit: 'environment', hint: 'Uninstall the plugin, or report this to its author.' },
  MAAS_PLUGIN_CONFLICT: { exit: 'environment', hint: 'Uninstall one of the two plugins.' },
  MAAS_TARGET_NOT_EMPTY: { exit: 'usage', hint: 'Choose another folder, or pass --force to write into it.' },
  MAAS_TEMPLATE_UNKNOWN: { exit: 'usage', hint: 'Run `maas init --list` for the templates there are.' },
  MAAS_INTERRUPTED: { exit: 'interrupted', hint: 'Run the same command again: it goes on where it stopped.' },
} as const satisfies Record<string, { exit: ExitKind; hint: string }>;

export type ErrorCode = keyof typeof catalogue;

/** Where an error was found. `line` and `column` count from 1. */
export interface Place {
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
  /** The text around the place, ready to print, with a marker under it. */
  readonly frame?: string;
}

export interface MaasErrorOptions {
  readonly place?: Place;
  /** Overrides the catalogue's hint when the thrower knows better. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** Machine-readable particulars, printed with --json. */
  readonly details?: Readonly<Record<string, unknown>>;
  /** Further errors of the same kind, when one run found several. */
  readonly others?: readonly MaasError[];
}

/** An error that the user can act on. Anything else that is thrown is a bug and keeps its stack. */
export class MaasError extends Error {
  override readonly name = 'MaasError';
  readonly code: ErrorCode;
  readonly hint: string;
  readonly place: Place | undefined;
  readonly details: Readonly<Record<string, unknown>> | undefined;
  readonly others: readonly MaasError[];

  constructor(code: ErrorCode, message: string, options: MaasErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint ?? catalogue[code].hint;
    this.place = options.place;
    this.details = options.details;
    this.others = options.others ?? [];
  }

  get exitCode(): number {
    return exitCodes[catalogue[this.code].exit];
  }

  toJSON(): Record<string, unknown> {
    return {
      code: this.code,
      message: this.message,
      hint: this.hint,
      ...(this.place && {
        place: { file: this.place.file, line: this.place.line, column: this.place.column },
      }),
      ...(this.details && { details: this.details }),
      ...(this.others.length > 0 && { others: this.others.map((other) => other.toJSON()) }),
    };
  }
}

/** True for the errors of the operating system that mean "cannot write here". */
export function isDiskError(error: unknown): error is NodeJS.ErrnoException {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return (
    code !== undefined && ['EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'EDQUOT', 'EIO', 'ENOTDIR'].includes(code)
  );
}

/** Turns an operating-system error into a coded one; leaves every other error as it is. */
export function asDiskError(error: unknown, doing: string): unknown {
  if (!isDiskError(error)) return error;
  return new MaasError('MAAS_DISK', `${doing}: ${error.code} ${error.path ?? ''}`.trim(), { cause: error });
}
