import type pg from 'pg';
import type { RecordedEvent } from '../../../schemas/index.ts';
import type { ErasureCommands } from '../../commands/index.ts';
import { intArray } from '../../platform/pg-arrays.ts';

/** Files of one round. */
const maxFiles = 100;
/** An upload whose event is not there after so long never gets it. */
const uploadMinutes = 60;

/** The file that an account shows from an event on; 0 for none. */
interface Shown {
  readonly workspace: number;
  readonly account: number;
  readonly file: number;
}

/**
 * Erases stored files that nobody shows any more: by the events those that were replaced, and those of accounts and
 * workspaces that are gone; by looking around those whose event never came.
 */
export class FileSweep {
  readonly #pool: pg.Pool;
  readonly #erasures: ErasureCommands;

  constructor(pool: pg.Pool, erasures: ErasureCommands) {
    this.#pool = pool;
    this.#erasures = erasures;
  }

  /**
   * Erases what events say is over, in the group's transaction: once for each event, in their order. A file that is stored
   * and has not had its event yet is left alone, whatever became of its owner's others.
   */
  async note(client: pg.PoolClient, events: readonly RecordedEvent[]): Promise<void> {
    const last = new Map<string, Shown>();
    const named: number[] = [];
    const workspaces: number[] = [];
    for (const { type, data } of events) {
      if (type === 'WorkspaceErased') workspaces.push(data.workspace);
      const shown = shownBy({ type, data } as RecordedEvent);
      if (!shown) continue;
      last.set(`${shown.workspace}/${shown.account}`, shown);
      named.push(shown.file);
    }
    if (workspaces.length > 0)
      await client.query('DELETE FROM work.files WHERE workspace = ANY ($1::int[])', [intArray(workspaces)]);
    if (last.size === 0) return;
    const each = [...last.values()];
    const columns = [each.map((of) => of.workspace), each.map((of) => of.account), each.map((of) => of.file)];
    const those = `unnest($1::int[], $2::int[], $3::int[]) AS l (workspace, account, file)
      WHERE f.workspace = l.workspace AND f.account = l.account`;
    await client.query(
      `DELETE FROM work.files f USING ${those} AND f.file <> l.file AND (f.shown OR f.file = ANY ($4::int[]))`,
      [...columns.map(intArray), intArray(named)],
    );
    await client.query(
      `UPDATE work.files f SET shown = true FROM ${those} AND f.file = l.file AND NOT f.shown`,
      columns.map(intArray),
    );
  }

  /** Looks after some of the uploads whose event is long due. */
  async round(): Promise<void> {
    const { rows } = await this.#pool.query<Shown>(
      `SELECT workspace, account, file FROM work.files WHERE NOT shown AND stored_at < now() - make_interval(mins => $1)
        ORDER BY stored_at LIMIT $2`,
      [uploadMinutes, maxFiles],
    );
    for (const { workspace, account, file } of rows) {
      // The event of one that its owner shows is under way to the group.
      if (await this.#erasures.showsFile(workspace, account, file)) continue;
      await this.#pool.query('DELETE FROM work.files WHERE file = $1 AND NOT shown', [file]);
    }
  }
}

function shownBy({ type, data }: RecordedEvent): Shown | null {
  switch (type) {
    case 'ProfileChanged': {
      const { workspace, account, avatar } = data;
      return avatar === undefined ? null : { workspace, account, file: avatar ?? 0 };
    }
    case 'AccountDeleted':
    case 'AccountErased':
      return { workspace: data.workspace, account: data.account, file: 0 };
    default:
      return null;
  }
}
