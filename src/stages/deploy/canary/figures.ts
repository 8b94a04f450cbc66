/**
 * What one release did: numbers that only grow, by name.
 *
 *   requests, errors              that it answered; errors are those with status 500 and above
 *   seconds                       that the answers without an error took together
 *   runs, runSeconds              runs of the model
 *   same, different, failed, dropped   requests put to it as a shadow, by how its answer compared
 *   difference<=0.001, …          of those, by the greatest difference of two numbers
 */
export type Figures = Readonly<Record<string, number>>;

const sample = /^([a-z_]+)\{(.*)\} (\S+)$/;
const label = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** The figures of a release in the text of `/metrics` of a server of maas. */
export function readFigures(text: string, release: string): Figures {
  const figures: Record<string, number> = {};
  const add = (name: string, value: number): void => {
    figures[name] = (figures[name] ?? 0) + value;
  };
  for (const { name, labels, value } of samples(text)) {
    if (labels['shadow'] === release) {
      if (name === 'maas_shadow_requests_total') add(labels['result']!, value);
      if (name === 'maas_shadow_difference_bucket') add(`difference<=${labels['le']!}`, value);
    }
    if (labels['version'] !== release) continue;
    // What the server says of itself is no work of the model.
    const failed = Number(labels['status']) >= 500;
    if (name === 'maas_requests_total' && isWork(labels)) {
      add('requests', value);
      if (failed) add('errors', value);
    }
    if (name === 'maas_request_duration_seconds_sum' && isWork(labels) && !failed) add('seconds', value);
    if (name === 'maas_run_duration_seconds_count') add('runs', value);
    if (name === 'maas_run_duration_seconds_sum') add('runSeconds', value);
  }
  return figures;
}

export interface Presence {
  /** True when the release is among the models that are served. */
  readonly served: boolean;
  /** Releases that the server refused since it was started. */
  readonly refused: number;
  /** Requests that wait for the release. */
  readonly waiting: number;
}

/** Whether a server has taken a release up. */
export function readPresence(text: string, release: string): Presence {
  let [served, refused, waiting] = [false, 0, 0];
  for (const { name, labels, value } of samples(text)) {
    const isOurs = labels['version'] === release;
    if (name === 'maas_model_info' && isOurs) served = true;
    if (name === 'maas_reloads_total' && labels['result'] === 'refused') refused = value;
    if (name === 'maas_queue_depth' && isOurs) waiting = value;
  }
  return { served, refused, waiting };
}

function isWork({ protocol }: Readonly<Record<string, string>>): boolean {
  return protocol !== 'maas';
}

function* samples(text: string) {
  for (const line of text.split('\n')) {
    const found = sample.exec(line);
    if (found === null) continue;
    const labels: Record<string, string> = {};
    for (const [, key, value] of found[2]!.matchAll(label)) labels[key!] = value!;
    yield { name: found[1]!, labels, value: Number(found[3]) };
  }
}

/**
 * What was added from one look at a server to the next; a server that was started anew counts from 0.
 * @param before The look before; undefined when there was none, and nothing is known to have been added.
 */
export function increase(before: Figures | undefined, now: Figures): Figures {
  if (before === undefined) return {};
  const anew = Object.keys(before).some((name) => (now[name] ?? 0) < before[name]!);
  return anew ? now : addUp(now, before, -1);
}

export function addUp(one: Figures, other: Figures, times = 1): Figures {
  const sum: Record<string, number> = { ...one };
  for (const [name, value] of Object.entries(other)) sum[name] = (sum[name] ?? 0) + times * value;
  return sum;
}
