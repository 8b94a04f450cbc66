import { openSession, type Feeds, type Session } from '../../../../src/runtime/session.js';
import { findDifference } from '../../../../src/stages/serve/golden.js';
import { Caller } from './caller.js';
import { randomFrom, type Random, type Subject } from './subjects.js';
import { readInferred, writeInfer } from './tensors.js';

/** Kernels sum in another order for other numbers of rows. */
const tolerance = 1e-5;

/** What the direct session of each model says to the same inputs. */
export class Judge {
  readonly #sessions = new Map<Subject, readonly [Session, Session]>();

  static async open(subjects: readonly Subject[]): Promise<Judge> {
    const judge = new Judge();
    for (const subject of subjects) {
      const [first, second] = subject.models;
      judge.#sessions.set(subject, [await openSession(first), await openSession(second)]);
    }
    return judge;
  }

  /** What is wrong with these outputs; undefined when nothing is. No outputs are right where the session fails. */
  async judge(
    subject: Subject,
    which: 0 | 1,
    feeds: Feeds,
    outputs: Feeds | undefined,
  ): Promise<string | undefined> {
    const session = this.#sessions.get(subject)!.at(which)!;
    const expected = await session.run(feeds).catch(() => undefined);
    if (expected === undefined) return outputs && 'an answer to inputs that the model cannot run on';
    return outputs ? findDifference(outputs, expected, tolerance) : 'no answer';
  }

  async close(): Promise<void> {
    for (const session of [...this.#sessions.values()].flat()) await session.close();
  }
}

export interface Tally {
  /** Answers that were held against the direct session. */
  checked: number;
  /** 500s of inputs that the model cannot run on. */
  failed: number;
  /** Refusals that ask to try again. */
  refused: number;
  readonly wrong: string[];
}

export interface TrafficOptions {
  readonly port: () => number;
  readonly subjects: readonly Subject[];
  readonly judge: Judge;
  /** In all. */
  readonly requests: number;
  readonly callers: number;
  readonly seed: number;
  /** Which of a subject's models a version is. */
  readonly modelOf: (version: string) => 0 | 1;
}

/** So many requests of random shapes, one after another on each of the connections; every answer is judged. */
export async function sendChecked(options: TrafficOptions): Promise<Tally> {
  const tally: Tally = { checked: 0, failed: 0, refused: 0, wrong: [] };
  let left = options.requests;
  const converse = async (index: number): Promise<void> => {
    const random = randomFrom(options.seed * 1000 + index);
    const caller = new Caller(options.port);
    while (left-- > 0 && tally.wrong.length < 10) {
      await askOne(caller, random, options, tally).catch((error: unknown) => {
        tally.wrong.push(String(error));
      });
    }
    caller.close();
  };
  await Promise.all(Array.from({ length: options.callers }, (_, index) => converse(index)));
  return tally;
}

async function askOne(
  caller: Caller,
  random: Random,
  { subjects, judge, modelOf }: TrafficOptions,
  tally: Tally,
): Promise<void> {
  const subject = subjects[Math.floor(random() * subjects.length)]!;
  const feeds = subject.draw(random);
  const answer = await caller.ask(writeInfer(subject.name, feeds, random() < 0.7));
  if (answer.status === 503) {
    tally.refused++;
    return;
  }
  let wrong: string | undefined;
  if (answer.status === 200) {
    const { version, outputs } = readInferred(answer);
    wrong = await judge.judge(subject, modelOf(version), feeds, outputs);
    tally.checked++;
  } else if (answer.status === 500) {
    wrong = await judge.judge(subject, 0, feeds, undefined);
    wrong &&= `${wrong}: ${answer.body.toString()}`;
    tally.failed++;
  } else wrong = `${answer.status} ${answer.body.toString()}`;
  if (wrong !== undefined) tally.wrong.push(`${subject.name}: ${wrong}`);
}
