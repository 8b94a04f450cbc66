import { formatDuration, shortDigest } from './format.js';
import { createStyle } from './style.js';
import { formatTable } from './table.js';

export interface TableStyle {
  readonly color: boolean;
}

export interface PlanRow {
  readonly stage: string;
  readonly status: 'cached' | 'run';
  readonly why: readonly string[];
  readonly digest?: string;
}

/** What would run and why. */
export function planTable(plans: readonly PlanRow[], { color }: TableStyle): string {
  const style = createStyle(color);
  const rows = plans.map(({ stage, status, why, digest }) => [
    stage,
    status === 'run' ? style.yellow('run') : style.green('cached'),
    digest === undefined ? '-' : shortDigest(digest),
    why.join('; '),
  ]);
  return formatTable(rows, { header: ['STAGE', 'PLAN', 'ARTIFACT', 'WHY'], color });
}

export interface StatusRow {
  readonly stage: string;
  readonly state: 'never' | 'fresh' | 'stale' | 'corrupt';
  readonly digest?: string;
  readonly finishedAt?: string;
  readonly why: readonly string[];
}

/** Where each stage stands. */
export function statusTable(statuses: readonly StatusRow[], { color }: TableStyle, now: Date): string {
  const style = createStyle(color);
  const paint = { never: style.dim, fresh: style.green, stale: style.yellow, corrupt: style.red };
  const rows = statuses.map(({ stage, state, digest, finishedAt, why }) => [
    stage,
    paint[state](state),
    digest === undefined ? '-' : shortDigest(digest),
    finishedAt === undefined ? '-' : formatAge(finishedAt, now),
    why.join('; '),
  ]);
  return formatTable(rows, { header: ['STAGE', 'STATE', 'ARTIFACT', 'MADE', 'WHY'], color });
}

export interface ReleaseRow {
  readonly digest: string;
  readonly current: boolean;
  readonly deployedAt: string | undefined;
}

/** The releases that a target holds, the current one marked. */
export function releaseTable(releases: readonly ReleaseRow[], { color }: TableStyle): string {
  if (releases.length === 0) return 'Nothing is deployed yet.';
  const style = createStyle(color);
  const rows = releases.map(({ digest, current, deployedAt }) => [
    shortDigest(digest),
    current ? style.green('current') : '',
    deployedAt ?? '-',
  ]);
  return formatTable(rows, { header: ['RELEASE', '', 'DEPLOYED'], color });
}

function formatAge(time: string, now: Date): string {
  const seconds = (now.getTime() - Date.parse(time)) / 1000;
  if (seconds < 0) return time;
  if (seconds < 86_400) return `${formatDuration(seconds)} ago`;
  return time.slice(0, 10);
}

export interface CheckRow {
  readonly name: string;
  readonly state: 'ok' | 'skipped' | 'failed';
  readonly detail: string;
}

/** What `maas deploy --verify` looked at. */
export function checkTable(checks: readonly CheckRow[], { color }: TableStyle): string {
  const style = createStyle(color);
  const paint = { ok: style.green, skipped: style.dim, failed: style.red };
  const rows = checks.map(({ name, state, detail }) => [name, paint[state](state), detail]);
  return formatTable(rows, { header: ['CHECK', '', ''], color });
}

export interface FindingRow {
  readonly name: string;
  readonly state: 'ok' | 'absent' | 'missing';
  readonly detail: string;
  readonly hint?: string;
}

/** What a machine has, with what to do about the rest. */
export function findingsTable(findings: readonly FindingRow[], { color }: TableStyle): string {
  const style = createStyle(color);
  const paint = { ok: style.green, absent: style.dim, missing: style.red };
  const rows = findings.map(({ name, state, detail, hint }) => [
    name,
    paint[state](state),
    hint === undefined ? detail : `${detail}. ${hint}`,
  ]);
  return formatTable(rows, { header: ['PART', 'STATE', ''], color });
}

export interface PassRow {
  readonly name: string;
  readonly applied?: readonly { readonly node: string; readonly note: string }[];
  readonly skipped: readonly { readonly node: string; readonly reason: string }[];
}

/** What passes did to a model's parts, and what they left alone. */
export function passTable(passes: readonly PassRow[], { color }: TableStyle): string {
  const rows = passes.flatMap(({ name, applied = [], skipped }) => [
    ...applied.map(({ node, note }) => [name, node, note]),
    ...skipped.map(({ node, reason }) => [name, node, `left alone: ${reason}`]),
  ]);
  return rows.length === 0
    ? 'No pass found anything to do.'
    : formatTable(rows, { header: ['PASS', 'NODE', 'WHAT'], color });
}
