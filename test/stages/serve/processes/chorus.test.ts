import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { ProgressEvent } from '../../../../src/plugin/events.js';
import { Chorus } from '../../../../src/stages/serve/processes/chorus.js';

const serving = (digest: string): ProgressEvent => ({
  event: 'serving',
  url: 'http://127.0.0.1:1',
  model: 'flowers',
  digest,
});
const note = (text: string): ProgressEvent => ({ event: 'note', stage: 'serve', text });

function listen(processes: number): { chorus: Chorus; told: ProgressEvent[] } {
  const told: ProgressEvent[] = [];
  return { told, chorus: new Chorus(processes, (event) => told.push(event)) };
}

it('tells what processes that do the same tell as one of them would, in whatever order it comes', () => {
  const event = fc.oneof(fc.constantFrom('a', 'b').map(serving), fc.constantFrom('x', 'y').map(note));
  fc.assert(
    fc.property(
      fc.array(event, { maxLength: 12 }),
      fc.integer({ min: 2, max: 4 }),
      fc.infiniteStream(fc.nat()),
      (events, processes, choices) => {
        const { chorus, told } = listen(processes);
        chorus.begin();
        const at = new Array<number>(processes).fill(0);
        const left = (): number[] => [...at.keys()].filter((index) => at[index]! < events.length);
        for (let open = left(); open.length > 0; open = left()) {
          const index = open[choices.next().value! % open.length]!;
          chorus.hear(index, events[at[index]!++]!);
        }
        for (const kind of ['note', 'serving']) {
          const names = (all: readonly ProgressEvent[]): string[] =>
            all.filter((each) => each.event === kind).map((each) => JSON.stringify(each));
          expect(names(told).sort()).toEqual(names(events).sort());
        }
      },
    ),
  );
});

it('tells of a model once all serve it, and not before they have begun', () => {
  const { chorus, told } = listen(2);
  chorus.hear(0, serving('a'));
  chorus.hear(1, serving('a'));
  expect(told).toEqual([]);
  chorus.begin();
  expect(told).toEqual([serving('a')]);
  chorus.hear(1, serving('b'));
  expect(chorus.last).toEqual(serving('a'));
  chorus.hear(0, serving('b'));
  expect(told).toEqual([serving('a'), serving('b')]);
  expect(chorus.last).toEqual(serving('b'));
});

it('goes by what the others serve where a process was replaced', () => {
  const { chorus, told } = listen(3);
  for (const index of [0, 1, 2]) chorus.hear(index, serving('a'));
  chorus.begin();
  chorus.replace(2);
  for (const index of [0, 1, 2]) chorus.hear(index, serving('b'));
  expect(told).toEqual([serving('a')]);
  chorus.replaced(2);
  expect(told).toEqual([serving('a'), serving('b')]);
  for (const index of [2, 1, 0]) chorus.hear(index, serving('a'));
  expect(told).toEqual([serving('a'), serving('b'), serving('a')]);
});

it('tells every request', () => {
  const { chorus, told } = listen(2);
  const request: ProgressEvent = { event: 'request', method: 'GET', path: '/', seconds: 1 };
  for (const index of [0, 1, 1]) chorus.hear(index, request);
  expect(told).toEqual([request, request, request]);
});
