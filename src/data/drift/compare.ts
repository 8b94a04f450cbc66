/**
 * Population stability index: Σ (q − p) ln(q / p) over the bins. Below 0.1 nothing has changed, above 0.25 much has, by
 * the rule of thumb of credit scoring (Siddiqi, Credit Risk Scorecards, 2006). Half a row is added to each bin, so that
 * an empty one is no infinity.
 */
export function stabilityIndex(expected: ArrayLike<number>, observed: ArrayLike<number>): number {
  const [p, q] = [sharesOf(expected, 0.5), sharesOf(observed, 0.5)];
  return p.reduce((sum, share, bin) => sum + (q[bin]! - share) * Math.log(q[bin]! / share), 0);
}

/** Jensen–Shannon distance, the root of the divergence to base 2: 0 for the same shares, 1 for none in common (Endres & Schindelin 2003). */
export function jensenShannon(expected: ArrayLike<number>, observed: ArrayLike<number>): number {
  const [p, q] = [sharesOf(expected, 0), sharesOf(observed, 0)];
  const part = (share: number, middle: number): number =>
    share === 0 ? 0 : (share * Math.log2(share / middle)) / 2;
  const divergence = p.reduce((sum, share, bin) => {
    const middle = (share + q[bin]!) / 2;
    return sum + part(share, middle) + part(q[bin]!, middle);
  }, 0);
  return Math.sqrt(Math.max(0, divergence));
}

function sharesOf(counts: ArrayLike<number>, added: number): number[] {
  const padded = Array.from(counts, (count) => count + added);
  const total = padded.reduce((sum, count) => sum + count, 0);
  return padded.map((count) => (total === 0 ? 0 : count / total));
}
