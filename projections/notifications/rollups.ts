import { boolArray, intArray, textArray } from '../../src/platform/pg-arrays.ts';
import type { Queryable } from '../projection.ts';
import type { NotificationRow } from './evolve.ts';

const dayMs = 86_400_000;
/** Stands for no room in roll-ups. */
const noRoom = -1;

interface Tally {
  readonly workspace: number;
  /** Days since the epoch. */
  readonly day: number;
  readonly room: number;
  readonly type: string;
  readonly status: string;
  readonly fellBack: boolean;
  change: number;
}

/** What a batch adds to the roll-ups. */
export class RollUps {
  readonly #tallies = new Map<string, Tally>();

  /** A row changed; `before` is null when there was none. */
  changed(before: NotificationRow | null, after: NotificationRow): void {
    if (before) this.#count(before, -1);
    this.#count(after, 1);
  }

  #count(row: NotificationRow, by: number): void {
    const { workspace, type, status } = row;
    const day = Math.floor(row.created_at / dayMs);
    const room = row.room ?? noRoom;
    const fellBack = row.leaves_by !== null;
    const key = [workspace, day, room, type, status, fellBack].join('/');
    const tally = this.#tallies.get(key) ?? { workspace, day, room, type, status, fellBack, change: 0 };
    tally.change += by;
    this.#tallies.set(key, tally);
  }

  /** Adds everything to the table. */
  async save(client: Queryable): Promise<void> {
    // In an order of its own, so that two who write at once wait for each other in the same order.
    const tallies = [...this.#tallies]
      .filter(([, { change }]) => change !== 0)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, tally]) => tally);
    if (tallies.length === 0) return;
    const values = [
      intArray(tallies.map(({ workspace }) => workspace)),
      intArray(tallies.map(({ day }) => day)),
      intArray(tallies.map(({ room }) => room)),
      textArray(tallies.map(({ type }) => type)),
      textArray(tallies.map(({ status }) => status)),
      boolArray(tallies.map(({ fellBack }) => fellBack)),
    ];
    await client.query({
      text: `INSERT INTO notification_days AS t (workspace, day, room, type, status, fell_back, notifications)
        SELECT * FROM unnest($1::int[], $2::int[], $3::int[], $4::text[], $5::text[], $6::bool[], $7::int[])
        ON CONFLICT (workspace, day, room, type, status, fell_back)
          DO UPDATE SET notifications = t.notifications + excluded.notifications`,
      values: [...values, intArray(tallies.map(({ change }) => change))],
    });
    if (tallies.every(({ change }) => change > 0)) return;
    // Which statuses were passed through on the way depends on how the events came in: none of them is left.
    await client.query({
      text: `DELETE FROM notification_days t
        USING unnest($1::int[], $2::int[], $3::int[], $4::text[], $5::text[], $6::bool[])
          AS u(workspace, day, room, type, status, fell_back)
        WHERE t.workspace = u.workspace AND t.day = u.day AND t.room = u.room AND t.type = u.type AND t.status = u.status
          AND t.fell_back = u.fell_back AND t.notifications = 0`,
      values,
    });
  }
}
