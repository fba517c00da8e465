/**
 * A projection: a read model and the function that builds it from events (design section 6).
 *
 * Promises: `apply` is a function of the events alone, whatever the batches they come in, so that a rebuild from position
 * 0 gives the same rows. An event "erased" gives the same rows with the history of what it erased, with that history
 * blanked, and alone; what is erased leaves a tombstone, and events of it that come later change nothing. A row is
 * written from events of one ordering key, or by a change whose order does not matter (a sum, a maximum).
 *
 * Names in `tables` and in statements are unqualified: `search_path` decides, so that a rebuild fills the same names in
 * a schema of its own. Texts are cleaned (`cleanText`) before they become rows: no event may stop a projection.
 */
import { readFileSync } from 'node:fs';
import type pg from 'pg';
import type { RecordedEvent } from '../schemas/index.ts';

export type { RecordedEvent } from '../schemas/index.ts';

/** Whatever runs a statement: a pool or a client of node-postgres. */
export interface Queryable {
  query<R extends pg.QueryResultRow>(statement: pg.QueryConfig): Promise<pg.QueryResult<R>>;
}

/** A read model and how it is built. */
export interface Projection {
  /** `[a-z_]+`; part of the name of the schema it is rebuilt in. */
  readonly name: string;
  /** Counted up with every change of the tables or of `apply`: tables of another version are rebuilt. */
  readonly version: number;
  /** The oldest version whose tables the queries of today can read: such tables serve, stale, until they are replaced. */
  readonly readableFrom: number;
  /** SQL that makes its tables. */
  readonly tables: string;
  /** Writes a batch, with a few statements. Runs in the transaction that moves the checkpoint. */
  apply(client: Queryable, events: readonly RecordedEvent[]): Promise<void>;
}

/** The text of the `tables.sql` beside a module. */
export function tablesOf(moduleUrl: string): string {
  return readFileSync(new URL('./tables.sql', moduleUrl), 'utf8');
}

/** An account, as events name it. */
export interface AccountRef {
  readonly workspace: number;
  readonly account: number;
}

/** A page of a list. */
export interface Page {
  readonly limit: number;
  readonly offset: number;
}

/** One page of a list, and how many there are in all. */
export interface Listed<T> {
  readonly items: T[];
  readonly total: number;
}
