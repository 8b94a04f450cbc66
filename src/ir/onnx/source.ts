import { MaasError } from '../../errors.js';

/** Where a model comes from: for messages, and to find its external data. */
export interface Source {
  /** File that errors name. */
  readonly file?: string;
  /** Folder that locations of external data are relative to. */
  readonly baseDir?: string;
}

export function invalid(source: Source, message: string, cause?: unknown): MaasError {
  return new MaasError('MAAS_MODEL_INVALID', message, {
    ...(source.file !== undefined && { place: { file: source.file } }),
    ...(cause !== undefined && { cause }),
  });
}
