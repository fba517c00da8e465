import { doubleArray, intArray } from '../../src/platform/pg-arrays.ts';
import { foldInto, foldTable } from '../fold-table.ts';
import { type Projection, type Queryable, type RecordedEvent, tablesOf } from '../projection.ts';

type KeyRow = {
  readonly workspace: number;
  readonly key: number;
  readonly name: string | null;
  readonly mode: string | null;
  readonly rate_limit: number | null;
  readonly created_at: number | null;
  readonly expires_at: number | null;
  readonly deleted: boolean;
  readonly erased: boolean;
};

const table = foldTable<KeyRow>(
  'keys',
  2,
  {
    workspace: 'int',
    key: 'int',
    name: 'text',
    mode: 'text',
    rate_limit: 'int',
    created_at: 'time',
    expires_at: 'time',
    deleted: 'bool',
    erased: 'bool',
  },
  { erasable: true },
);

type KeyEvent = RecordedEvent & { readonly type: 'KeyIssued' | 'KeyRevoked' | 'KeyErased' };

const blank = { name: null, mode: null, rate_limit: null, created_at: null, expires_at: null, deleted: true };

function evolve(row: KeyRow | null, event: KeyEvent): KeyRow | null {
  if (row?.erased) return null;
  const { workspace, key } = event.data;
  switch (event.type) {
    case 'KeyIssued': {
      const { name, mode, rateLimit, expiresAt } = event.data;
      const times = { created_at: event.at, expires_at: expiresAt };
      return { workspace, key, name, mode, rate_limit: rateLimit, ...times, deleted: false, erased: false };
    }
    case 'KeyRevoked':
      return row && { ...row, ...blank };
    case 'KeyErased':
      return { workspace, key, ...blank, erased: true };
  }
}

/** When keys were last used, by (workspace, key): few entries, many events. */
class Usage {
  readonly #entries = new Map<number, Map<number, number>>();
  #workspace = -1;
  #keys = new Map<number, number>();

  add(workspace: number, key: number, at: number): void {
    if (workspace !== this.#workspace) {
      this.#workspace = workspace;
      this.#keys = this.#keysOf(workspace);
    }
    const known = this.#keys.get(key);
    if (known === undefined || known < at) this.#keys.set(key, at);
  }

  #keysOf(workspace: number): Map<number, number> {
    let keys = this.#entries.get(workspace);
    if (!keys) {
      keys = new Map();
      this.#entries.set(workspace, keys);
    }
    return keys;
  }

  async save(client: Queryable): Promise<void> {
    const rows = [...this.#entries]
      .flatMap(([workspace, keys]) => [...keys].map(([key, at]) => ({ workspace, key, at })))
      .sort((a, b) => a.workspace - b.workspace || a.key - b.key);
    if (rows.length === 0) return;
    await client.query({
      name: 'key-usage',
      text: `INSERT INTO key_usage AS t (workspace, key, last_used_at)
        SELECT u.workspace, u.key, to_timestamp(u.at / 1000)
          FROM unnest($1::int[], $2::int[], $3::float8[]) AS u(workspace, key, at)
        ON CONFLICT (workspace, key) DO UPDATE SET last_used_at = excluded.last_used_at
          WHERE t.last_used_at < excluded.last_used_at`,
      values: [
        intArray(rows.map((row) => row.workspace)),
        intArray(rows.map((row) => row.key)),
        doubleArray(rows.map((row) => row.at)),
      ],
    });
  }
}

/** Keys, and when they were last used: a table of its own, so that a batch of sends changes one narrow row per key. */
export const keys: Projection = {
  name: 'keys',
  version: 1,
  readableFrom: 1,
  tables: tablesOf(import.meta.url),
  async apply(client, events) {
    const changes: KeyEvent[] = [];
    const usage = new Usage();
    for (const event of events) {
      switch (event.type) {
        case 'DispatchAccepted':
          usage.add(event.data.workspace, event.data.key, event.at);
          break;
        case 'DispatchesErased':
          for (const { key, createdAt } of event.data.items) usage.add(event.data.workspace, key, createdAt);
          break;
        case 'KeyIssued':
        case 'KeyRevoked':
        case 'KeyErased':
          changes.push(event);
      }
    }
    await foldInto(client, table, changes, ({ data }) => [data.workspace, data.key], evolve);
    await usage.save(client);
  },
};
