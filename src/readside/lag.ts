import type pg from 'pg';
import { type GroupCheckpoint, readGroup } from '../feed/checkpoint.ts';
import { type CountedHistory, firstAfter, type History, type RecordedEvent } from '../feed/feed.ts';

/** How far a consumer group is behind the log. */
export interface GroupLag {
  /** Everything up to here is done. */
  readonly position: bigint;
  /** Events that are not done, counted up to a bound. */
  readonly events: number;
  /** Age of the first event that is not done, in seconds; 0 when there is none. */
  readonly seconds: number;
}

const pageEvents = 1_000;

/**
 * Tells how far a group is behind, whatever process does its work. Where its partitions stand at one place the log counts what
 * follows. Otherwise some of that is done, and the events have to be read: `maxEvents` at most (10,000 unless told).
 */
export async function groupLag(
  pool: Pick<pg.Pool, 'query'>,
  history: CountedHistory,
  group: string,
  options: { readonly maxEvents?: number } = {},
): Promise<GroupLag> {
  const { maxEvents = 10_000 } = options;
  const [checkpoint, head] = await Promise.all([readGroup(pool, group), history.head()]);
  const position = checkpoint.smallest;
  if (checkpoint.largest > position) return { position, ...(await notDone(history, checkpoint, head, maxEvents)) };
  const [events, first] = await Promise.all([
    history.count(position, head, maxEvents),
    firstAfter(history, position, head),
  ]);
  return { position, events, seconds: first && first.position <= head ? ageOf(first) : 0 };
}

/** What of the events up to the head is not done, of `maxEvents` that are looked through at most. */
async function notDone(
  history: History,
  checkpoint: GroupCheckpoint,
  head: bigint,
  maxEvents: number,
): Promise<Pick<GroupLag, 'events' | 'seconds'>> {
  let events = 0;
  let oldest: RecordedEvent | null = null;
  let looked = 0;
  for (let from = checkpoint.smallest; from < head && looked < maxEvents; ) {
    const page = await history.page(from, Math.min(pageEvents, maxEvents - looked));
    for (const event of page.events) {
      if (event.position > head || checkpoint.done(event) === event) continue;
      oldest ??= event;
      events++;
    }
    looked += page.events.length;
    from = page.position;
    if (page.atHead) break;
  }
  return { events, seconds: oldest === null ? 0 : ageOf(oldest) };
}

function ageOf({ at }: RecordedEvent): number {
  return Math.max(0, (Date.now() - at) / 1_000);
}
