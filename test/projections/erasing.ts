/** What the rows of any history promise when parts of it are erased. */
import t, { type Test } from 'tap';
import type { RecordedEvent } from '../../schemas/index.ts';
import { randomOf } from './history.ts';
import { cut, rowsFrom, scratchDatabase, seedOf } from './scratch.ts';

/** A random history. */
export interface ErasableHistory {
  /** Streams whose event "erased" was appended. */
  readonly erasable: readonly string[];
  /** Deletes and erases everything that can be. */
  eraseEverything(): void;
  recorded(): RecordedEvent[];
}

type Check = (t: Test, rows: Record<string, string[]>) => void;

/** Whose promises are tested, on how many histories of how many steps. */
export interface Erasing {
  readonly make: (seed: number, length: number) => ErasableHistory;
  readonly histories: number;
  readonly length: number;
  /** Rows have something of all that matters. */
  readonly isRich: Check;
  /** Some of the rows were erased; not asked where the history need not erase. */
  readonly hasErased?: Check;
  /** Nothing that had to be erased is left. */
  readonly isBare: Check;
  /** Streams whose events stand in the rows when all was erased. */
  readonly alone: RegExp;
}

/** Tests the promises. */
export function testErasing({ make, histories, length, isRich, hasErased, isBare, alone }: Erasing): void {
  t.test('rows do not depend on how the history is cut into batches', async (t) => {
    const client = await scratchDatabase(t);
    const seed = seedOf(t);
    for (let i = 0; i < 2; i++) {
      const random = randomOf(seed + i);
      const events = make(seed + i, length).recorded();
      const whole = await rowsFrom(client, `whole${i}`, [events]);
      isRich(t, whole);
      t.same(await rowsFrom(client, `single${i}`, cut(random, events, 1)), whole, `event by event, ${seed + i}`);
      t.same(await rowsFrom(client, `cut${i}`, cut(random, events, 40)), whole, `in batches, ${seed + i}`);
    }
  });

  t.test('history with its erasures and blanked history give the same rows', async (t) => {
    const client = await scratchDatabase(t);
    const seed = seedOf(t);
    for (let i = 0; i < histories; i++) {
      const random = randomOf(seed + i);
      const history = make(seed + i, length);
      const { erasable } = history;
      const events = history.recorded();
      const kept = await rowsFrom(client, `kept${i}`, cut(random, events, 60));
      hasErased?.(t, kept);
      const all = new Set(erasable);
      const blanked = events.filter(({ stream }) => !all.has(stream));
      t.ok(blanked.length < events.length, 'something was blanked');
      t.same(await rowsFrom(client, `blanked${i}`, cut(random, blanked, 60)), kept, `all of it blanked, ${seed + i}`);
      const some = new Set(erasable.filter(() => random() < 0.5));
      const half = events.filter(({ stream }) => !some.has(stream));
      t.same(await rowsFrom(client, `half${i}`, cut(random, half, 60)), kept, `some of it blanked, ${seed + i}`);
    }
  });

  t.test('events "erased" alone give the rows of the whole history', async (t) => {
    const client = await scratchDatabase(t);
    const seed = seedOf(t);
    const random = randomOf(seed);
    const events = erasedHistory(seed);
    const whole = await rowsFrom(client, 'whole', cut(random, events, 50));
    isBare(t, whole);
    const left = events.filter(({ stream }) => alone.test(stream));
    t.same(await rowsFrom(client, 'alone', cut(random, left, 50)), whole);
  });

  t.test('events "erased" that are seen before some of what they erase', async (t) => {
    const client = await scratchDatabase(t);
    const seed = seedOf(t);
    for (let i = 0; i < histories; i++) {
      const random = randomOf(seed + i);
      const events = erasedHistory(seed + i);
      const whole = await rowsFrom(client, `whole${i}`, cut(random, events, 50));
      // As from partitions of their own: each event "erased" somewhere earlier, the order of every stream kept.
      const late = events.map((event, index) => ({
        event,
        place: event.stream.startsWith('erased-') ? random() * index : index,
      }));
      const mixed = late.sort((a, b) => a.place - b.place).map(({ event }) => event);
      t.same(await rowsFrom(client, `mixed${i}`, cut(random, mixed, 50)), whole, `seed ${seed + i}`);
    }
  });

  function erasedHistory(seed: number): RecordedEvent[] {
    const history = make(seed, length);
    history.eraseEverything();
    return history.recorded();
  }
}
