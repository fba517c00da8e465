import type pg from 'pg';
import type { Queryable } from '../../../projections/projection.ts';
import { type Inactivity, type RoomRef, roomsToDeactivate } from '../../../projections/rooms/queries.ts';
import { AUTO_INACTIVE, SERVICE_ACCOUNT } from '../../../schemas/index.ts';
import { DomainError, type RoomCommands } from '../../commands/index.ts';
import type { ConsumerLogger } from '../../feed/feed.ts';
import { type Clock, sleep } from '../../platform/clock.ts';
import { inTransaction } from '../../platform/postgres.ts';

/** What the sweep needs. Times in milliseconds. */
export interface RoomSweepOptions {
  readonly read: Queryable;
  readonly pool: pg.Pool;
  readonly clock: Clock;
  readonly logger: ConsumerLogger;
  readonly rooms: Pick<RoomCommands, 'deactivate'>;
  /** Time without a message after which a room counts as inactive, by kind; 0: never. */
  readonly inactiveAfterMs: Inactivity['inactiveAfterMs'];
  /** Between two sweeps; 600,000 unless told. */
  readonly sweepMs?: number;
}

/** Any number, the same in every process: one sweeps at a time. */
const lockKey = 7_267_542;
/** Rooms of one page: their events share appends. */
const maxRooms = 100;

/**
 * Writes down which rooms have become inactive for want of messages (ChatAPI sheet, section 8), page by page. Readers know it
 * by the rule already; the log tells it to whoever follows that. A message that comes meanwhile revives its room.
 */
export class RoomSweep {
  readonly #options: RoomSweepOptions;
  readonly #abort = new AbortController();
  #working: Promise<void> = Promise.resolve();

  constructor(options: RoomSweepOptions) {
    this.#options = options;
  }

  start(): void {
    this.#working = this.#work();
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error('stopped'));
    await this.#working;
  }

  async #work(): Promise<void> {
    const { logger, sweepMs = 600_000 } = this.#options;
    const { signal } = this.#abort;
    while (!signal.aborted) {
      try {
        await this.sweep();
      } catch (error) {
        if (!signal.aborted) logger.warn({ err: error }, 'inactive rooms could not be written down, and will be later');
      }
      await sleep(sweepMs, signal).catch(() => {});
    }
  }

  /** Looks at all rooms once, unless another process is at it. */
  async sweep(): Promise<void> {
    let after: RoomRef | null | undefined;
    while (after !== null && !this.#abort.signal.aborted) after = await this.#page(after);
  }

  /** The last room of a page, null when there is none after it. */
  #page(after: RoomRef | undefined): Promise<RoomRef | null> {
    const { pool, read, clock, rooms, inactiveAfterMs } = this.#options;
    return inTransaction(pool, async (client) => {
      const { rows } = await client.query<{ mine: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS mine', [lockKey]);
      if (!rows[0]?.mine) return null;
      const inactivity = { nowMs: clock.now(), inactiveAfterMs };
      const found = await roomsToDeactivate(read, inactivity, { limit: maxRooms, ...(after && { after }) });
      await Promise.all(
        found.map(({ workspace, room }) =>
          rooms.deactivate({ workspace, account: SERVICE_ACCOUNT }, room, AUTO_INACTIVE).catch(ifGone),
        ),
      );
      return found.length < maxRooms ? null : (found.at(-1) ?? null);
    });
  }
}

/** A room that was deleted meanwhile needs nothing. */
function ifGone(error: unknown): void {
  if (error instanceof DomainError && (error.code === 'not-found' || error.code === 'room-deleted')) return;
  throw error;
}
