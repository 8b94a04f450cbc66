import { allocate, type NdArray, type NumericDType, type TypedArray } from '../../../../ir/tensor.js';
import type { SessionThread } from '../../../../runtime/thread/session-thread.js';

/** Arrays that are filled again and again: at each run other numbers of the same size go to the thread and come back. */
export interface Rooms {
  /** An array of so many elements, with whatever it held before. */
  take(dtype: NumericDType, length: number): TypedArray;
  /** Takes back arrays that are needed no more. */
  giveBack(arrays: Readonly<Record<string, NdArray>>): void;
}

/** Where a training computes, and what carries numbers there. */
export interface Workplace {
  readonly thread: SessionThread;
  readonly rooms: Rooms;
}

export function openRooms(): Rooms {
  const free = new Map<NumericDType, TypedArray[]>();
  return {
    take(dtype, length) {
      const rooms = free.get(dtype) ?? [];
      const fits = rooms.findIndex((room) => room.length >= length);
      // What nobody finds large enough goes, so that rooms are never more than are in use at once.
      const [found] = rooms.splice(fits >= 0 ? fits : 0, 1);
      const room = found && fits >= 0 ? found : allocate(dtype, length);
      return room.length === length ? room : room.subarray(0, length);
    },
    giveBack(arrays) {
      for (const { dtype, data } of Object.values(arrays)) {
        if (!ArrayBuffer.isView(data)) continue;
        const view = data;
        const whole = new (view.constructor as new (buffer: ArrayBufferLike) => TypedArray)(view.buffer);
        const rooms = [...(free.get(dtype as NumericDType) ?? []), whole];
        free.set(
          dtype as NumericDType,
          rooms.sort((a, b) => a.length - b.length),
        );
      }
    },
  };
}
