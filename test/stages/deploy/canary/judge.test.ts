import { describe, expect, it } from 'vitest';
import { addUp, increase, readFigures, readPresence } from '../../../../src/stages/deploy/canary/figures.js';
import { judge, summarize, type Watched } from '../../../../src/stages/deploy/canary/judge.js';
import { canaryOptions } from '../../../../src/stages/deploy/canary/options.js';

const page = `# HELP maas_requests_total Requests answered.
# TYPE maas_requests_total counter
maas_requests_total{model="m",version="a",protocol="predict",status="200"} 30
maas_requests_total{model="m",version="b",protocol="predict",status="200"} 8
maas_requests_total{model="m",version="b",protocol="grpc",status="503"} 2
maas_requests_total{model="m",version="b",protocol="maas",status="200"} 7
maas_request_duration_seconds_sum{model="m",version="b",protocol="predict",status="200"} 0.016
maas_request_duration_seconds_sum{model="m",version="b",protocol="grpc",status="503"} 9
maas_run_duration_seconds_sum{model="m",version="b"} 0.01
maas_run_duration_seconds_count{model="m",version="b"} 5
maas_shadow_requests_total{model="m",version="a",shadow="b",result="same"} 3
maas_shadow_requests_total{model="m",version="a",shadow="b",result="failed"} 1
maas_shadow_difference_bucket{le="0.001",model="m",version="a",shadow="b"} 1
maas_shadow_difference_bucket{le="0.1",model="m",version="a",shadow="b"} 3
maas_shadow_difference_bucket{le="+Inf",model="m",version="a",shadow="b"} 3
maas_reloads_total{result="refused"} 2
maas_queue_depth{model="m",version="b"} 4
maas_model_info{model="m",version="b",project="p",batching="true"} 1
`;

describe('the figures of a release', () => {
  it('are read from what a server tells Prometheus', () => {
    expect(readFigures(page, 'b')).toEqual({
      requests: 10,
      errors: 2,
      seconds: 0.016,
      runs: 5,
      runSeconds: 0.01,
      same: 3,
      failed: 1,
      'difference<=0.001': 1,
      'difference<=0.1': 3,
      'difference<=+Inf': 3,
    });
    expect(readPresence(page, 'b')).toEqual({ served: true, refused: 2, waiting: 4 });
    expect(readPresence(page, 'c')).toEqual({ served: false, refused: 2, waiting: 0 });
  });

  it('count from 0 after the server was started anew', () => {
    expect(increase({ requests: 10, errors: 1 }, { requests: 12, errors: 1 })).toEqual({
      requests: 2,
      errors: 0,
    });
    expect(increase({ requests: 10, errors: 1 }, { requests: 3 })).toEqual({ requests: 3 });
    expect(increase(undefined, { requests: 3 })).toEqual({});
    expect(addUp({ requests: 1 }, { requests: 2, errors: 1 })).toEqual({ requests: 3, errors: 1 });
  });

  it('tell the bound of all differences', () => {
    const seen = summarize({ seconds: 1, stable: {}, candidate: readFigures(page, 'b') });
    expect(seen).toMatchObject({ requests: 14, shadowed: 4, errors: 3, greatestDifference: 0.1 });
  });
});

describe('a candidate', () => {
  const options = canaryOptions.parse({ requests: 100, minutes: 1, giveUpMinutes: 10 });
  const good = { requests: 200, errors: 0, seconds: 1, runs: 100, runSeconds: 0.1 };
  const watched = (candidate: object, seconds = 61, stable: object = good): Watched => ({
    seconds,
    stable: stable as Watched['stable'],
    candidate: candidate as Watched['candidate'],
  });
  const reason = (seen: Watched, given = options): string | undefined => {
    const verdict = judge(given, seen);
    return verdict?.passed === false ? verdict.reason : undefined;
  };

  it('passes after the time and with the requests that it needs', () => {
    expect(judge(options, watched(good))).toEqual({ passed: true });
    expect(judge(options, watched(good, 59))).toBeUndefined();
    expect(judge(options, watched({ ...good, requests: 99 }))).toBeUndefined();
    expect(reason(watched({ ...good, requests: 99 }, 601))).toMatch(/only 99 requests came in 10 minutes/);
  });

  it('fails as soon as it has more errors than it may have in all', () => {
    expect(reason(watched({ requests: 3, errors: 1 }, 2))).toBeUndefined();
    expect(reason(watched({ requests: 3, errors: 2 }, 2))).toBe('2 of 3 requests failed, 1 % may');
    expect(reason(watched({ same: 5, failed: 2 }, 2))).toBe('2 of 7 requests failed, 1 % may');
    expect(reason(watched({ ...good, requests: 1000, errors: 10 }))).toBeUndefined();
    expect(reason(watched({ ...good, requests: 1000, errors: 11 }))).toMatch(/^11 of 1000/);
  });

  it('fails when its requests or its runs take too long, and not for less than a millisecond', () => {
    expect(reason(watched({ ...good, seconds: 2 }))).toMatch(
      /^a request takes 10\.0 ms, 2\.00 times the 5\.0 ms/,
    );
    expect(reason(watched({ ...good, runSeconds: 0.3 }))).toMatch(
      /^a run takes 3\.0 ms, 3\.00 times the 1\.0 ms/,
    );
    expect(reason(watched({ ...good, runSeconds: 0.19 }))).toBeUndefined();
    expect(reason(watched({ ...good, seconds: 2 }, 61, { requests: 19, seconds: 0.1 }))).toBeUndefined();
  });

  it('fails when it answers too many otherwise, where that counts', () => {
    const shadow = canaryOptions.parse({ requests: 10, minutes: 0, shadow: true, maxDifferentRate: 0.1 });
    expect(reason(watched({ same: 17, different: 3 }), shadow)).toBe(
      'it answers 3 of 20 requests otherwise, 10 % may be',
    );
    expect(reason(watched({ same: 18, different: 2 }), shadow)).toBeUndefined();
  });
});
