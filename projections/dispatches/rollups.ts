import { doubleArray, intArray, textArray } from '../../src/platform/pg-arrays.ts';
import type { Queryable } from '../projection.ts';
import type { DispatchRow, DispatchStatus } from './evolve.ts';

const dayMs = 86_400_000;

/** Places in `counts`; the erased ones follow four places on. */
const place = { pending: 0, sent: 1, delivered: 2, failed: 3 } as const satisfies Record<DispatchStatus, number>;
const erasedFrom = 4;

interface DayTally {
  readonly workspace: number;
  /** Days since the epoch. */
  readonly day: number;
  readonly connectorType: string;
  readonly counts: number[];
}

interface MonthTally {
  readonly ownerWorkspace: number;
  readonly ownerAccount: number;
  /** Its first instant, milliseconds since the epoch. */
  readonly month: number;
  accepted: number;
}

/** First instant of the calendar month (UTC) that a time lies in. */
export function monthOf(ms: number): number {
  const date = new Date(ms);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
}

/** What a batch adds to the roll-ups. Runs of events that count alike, the usual case, find their tally at once. */
export class RollUps {
  readonly #days = new Map<string, DayTally>();
  readonly #months = new Map<string, MonthTally>();
  #day: DayTally = { workspace: -1, day: -1, connectorType: '', counts: [] };
  #month: MonthTally = { ownerWorkspace: -1, ownerAccount: -1, month: 0, accepted: 0 };
  /** The day that the latest month was computed for. */
  #monthDay = -1;

  /** A dispatch was accepted and is pending. */
  accepted(workspace: number, connectorType: string, ownerWorkspace: number, ownerAccount: number, at: number): void {
    const day = Math.floor(at / dayMs);
    const { counts } = this.#dayTally(workspace, connectorType, day);
    counts[place.pending] = (counts[place.pending] as number) + 1;
    this.#monthTally(ownerWorkspace, ownerAccount, day).accepted += 1;
  }

  /** A row changed; `before` is null when there was none. */
  changed(before: DispatchRow | null, after: DispatchRow): void {
    if (before) this.#count(before, -1);
    this.#count(after, 1);
  }

  #count(row: DispatchRow, by: number): void {
    const day = Math.floor(row.createdAt / dayMs);
    const { counts } = this.#dayTally(row.workspace, row.connectorType, day);
    const at = place[row.status];
    counts[at] = (counts[at] as number) + by;
    if (row.erased) counts[at + erasedFrom] = (counts[at + erasedFrom] as number) + by;
    this.#monthTally(row.ownerWorkspace, row.ownerAccount, day).accepted += by;
  }

  #dayTally(workspace: number, connectorType: string, day: number): DayTally {
    const latest = this.#day;
    if (latest.day === day && latest.workspace === workspace && latest.connectorType === connectorType) return latest;
    const key = `${workspace}/${day}/${connectorType}`;
    let tally = this.#days.get(key);
    if (!tally) {
      tally = { workspace, day, connectorType, counts: [0, 0, 0, 0, 0, 0, 0, 0] };
      this.#days.set(key, tally);
    }
    this.#day = tally;
    return tally;
  }

  #monthTally(ownerWorkspace: number, ownerAccount: number, day: number): MonthTally {
    const latest = this.#month;
    if (day === this.#monthDay && latest.ownerAccount === ownerAccount && latest.ownerWorkspace === ownerWorkspace)
      return latest;
    const month = monthOf(day * dayMs);
    const key = `${ownerWorkspace}/${ownerAccount}/${month}`;
    let tally = this.#months.get(key);
    if (!tally) {
      tally = { ownerWorkspace, ownerAccount, month, accepted: 0 };
      this.#months.set(key, tally);
    }
    this.#month = tally;
    this.#monthDay = day;
    return tally;
  }

  /** Adds everything to the tables. */
  async save(client: Queryable): Promise<void> {
    const days = [...this.#days.values()].filter(({ counts }) => counts.some((count) => count !== 0)).sort(compareDays);
    if (days.length > 0) await client.query({ ...saveDays, values: dayValues(days) });
    const months = [...this.#months.values()].filter(({ accepted }) => accepted !== 0).sort(compareMonths);
    if (months.length > 0) await client.query({ ...saveMonths, values: monthValues(months) });
  }
}

function compareDays(a: DayTally, b: DayTally): number {
  return a.workspace - b.workspace || a.day - b.day || (a.connectorType < b.connectorType ? -1 : 1);
}

function compareMonths(a: MonthTally, b: MonthTally): number {
  return a.ownerWorkspace - b.ownerWorkspace || a.ownerAccount - b.ownerAccount || a.month - b.month;
}

const countColumns = [
  'pending',
  'sent',
  'delivered',
  'failed',
  'erased_pending',
  'erased_sent',
  'erased_delivered',
  'erased_failed',
];

const saveDays = {
  name: 'dispatch-days',
  text: `INSERT INTO dispatch_days AS t (workspace, day, connector_type, ${countColumns.join(', ')})
    SELECT u.workspace, date '1970-01-01' + u.day, u.connector_type, ${countColumns.map((name) => `u.${name}`).join(', ')}
      FROM unnest($1::int[], $2::int[], $3::text[], ${countColumns.map((_, i) => `$${i + 4}::int[]`).join(', ')})
        AS u(workspace, day, connector_type, ${countColumns.join(', ')})
    ON CONFLICT (workspace, day, connector_type)
      DO UPDATE SET ${countColumns.map((name) => `${name} = t.${name} + excluded.${name}`).join(', ')}`,
};

function dayValues(days: readonly DayTally[]): Buffer[] {
  return [
    intArray(days.map((tally) => tally.workspace)),
    intArray(days.map((tally) => tally.day)),
    textArray(days.map((tally) => tally.connectorType)),
    ...countColumns.map((_, i) => intArray(days.map((tally) => tally.counts[i] as number))),
  ];
}

const saveMonths = {
  name: 'dispatch-months',
  text: `INSERT INTO dispatch_months AS t (owner_workspace, owner_account, month, accepted)
    SELECT u.owner_workspace, u.owner_account, (to_timestamp(u.month / 1000) AT TIME ZONE 'UTC')::date, u.accepted
      FROM unnest($1::int[], $2::int[], $3::float8[], $4::int[]) AS u(owner_workspace, owner_account, month, accepted)
    ON CONFLICT (owner_workspace, owner_account, month) DO UPDATE SET accepted = t.accepted + excluded.accepted`,
};

function monthValues(months: readonly MonthTally[]): Buffer[] {
  return [
    intArray(months.map((tally) => tally.ownerWorkspace)),
    intArray(months.map((tally) => tally.ownerAccount)),
    doubleArray(months.map((tally) => tally.month)),
    intArray(months.map((tally) => tally.accepted)),
  ];
}
