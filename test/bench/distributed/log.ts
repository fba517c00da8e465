/** The log that is measured: in Postgres, or in the EventStoreDB of `EVENTSTOREDB_URL`. */
import { codec } from '../../../schemas/index.ts';
import { openEventStoreLog } from '../../../src/log/eventstoredb.ts';
import type { Log } from '../../../src/log/log.ts';
import { openPostgresLog } from '../../../src/log/postgres.ts';

/** Where a log is: plain data, for processes of the same run. */
export interface LogPlace {
  /** The database, whatever the log. */
  readonly url: string;
  /** Null: the log is in that database. */
  readonly eventStore: { readonly url: string; readonly namespace: string } | null;
}

/** Opens it, as a process has it. */
export function openLog({ url, eventStore }: LogPlace): Promise<Log> {
  return eventStore === null ? openPostgresLog({ url, codec }) : openEventStoreLog({ ...eventStore, codec });
}
