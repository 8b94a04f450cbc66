import { MaasError, type ErrorCode, type Place } from '../errors.js';

export interface Problem {
  readonly code: ErrorCode;
  readonly message: string;
  readonly place: Place;
  readonly hint?: string;
}

/** One error that carries all: the first in front, the rest as its `others`. */
export function joinErrors(problems: readonly Problem[]): MaasError {
  const [first, ...others] = problems;
  const make = ({ code, message, ...options }: Problem, rest: readonly MaasError[] = []): MaasError =>
    new MaasError(code, message, { ...options, others: rest });
  return make(
    first!,
    others.map((problem) => make(problem)),
  );
}
