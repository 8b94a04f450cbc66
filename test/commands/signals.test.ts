import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { asInterruption, listenForStop, type StopSignal } from '../../src/commands/cli/signals.js';
import { MaasError } from '../../src/errors.js';

let stopping: StopSignal;
const onFirst = vi.fn();
const exit = vi.spyOn(process, 'exit').mockImplementation(() => undefined as never);

beforeEach(() => {
  vi.clearAllMocks();
  vi.useFakeTimers({ toFake: ['performance'] });
  stopping = listenForStop(onFirst);
});
afterEach(() => {
  stopping.dispose();
  vi.useRealTimers();
});

describe('listenForStop', () => {
  it('aborts at the first signal', () => {
    process.emit('SIGTERM', 'SIGTERM');
    expect(onFirst).toHaveBeenCalledWith('SIGTERM');
    expect(stopping.signal.reason).toMatchObject({ code: 'MAAS_INTERRUPTED', exitCode: 130 });
    expect(exit).not.toHaveBeenCalled();
  });

  it('takes a signal that comes twice at once for one, and a later one for an order', () => {
    process.emit('SIGINT', 'SIGINT');
    process.emit('SIGINT', 'SIGINT');
    expect(onFirst).toHaveBeenCalledTimes(1);
    expect(exit).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1000);
    process.emit('SIGINT', 'SIGINT');
    expect(exit).toHaveBeenCalledWith(130);
  });

  it('lets go of the process when it is done', () => {
    const before = process.listenerCount('SIGINT');
    stopping.dispose();
    expect(process.listenerCount('SIGINT')).toBe(before - 1);
  });
});

describe('asInterruption', () => {
  it('explains what an aborted stage threw, and leaves other errors alone', () => {
    const bug = new TypeError('x');
    expect(asInterruption(bug, stopping.signal)).toBe(bug);
    process.emit('SIGINT', 'SIGINT');
    expect(asInterruption(bug, stopping.signal)).toBe(stopping.signal.reason);
    const own = new MaasError('MAAS_DISK', 'full');
    expect(asInterruption(own, stopping.signal)).toBe(own);
  });
});
