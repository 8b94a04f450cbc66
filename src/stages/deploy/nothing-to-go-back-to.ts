import { MaasError, type Place } from '../../errors.js';

/** The error of a rollback that asks for more releases than there are. */
export function nothingToGoBackTo(place: Place | undefined, there: number, asked: number): MaasError {
  const found =
    there === 0
      ? 'no earlier release is'
      : `only ${there} earlier ${there === 1 ? 'release is' : 'releases are'}`;
  return new MaasError('MAAS_RELEASE_MISSING', `cannot go back ${asked}: ${found} there`, {
    ...(place && { place }),
    hint: 'Run `maas deploy --list` for the releases there are.',
  });
}
