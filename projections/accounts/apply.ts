import type { EventData } from '../../schemas/index.ts';
import { doubleArray, intArray } from '../../src/platform/pg-arrays.ts';
import { foldInto, foldTable, keyOf } from '../fold-table.ts';
import { type Projection, type Queryable, type RecordedEvent, tablesOf } from '../projection.ts';
import { type AccountEvent, accountTable, evolveAccount, isAccountEvent } from './evolve.ts';
import { NameChanges } from './names.ts';

type PresenceRow = {
  readonly workspace: number;
  readonly account: number;
  readonly online: boolean | null;
  readonly changed_at: number | null;
  readonly erased: boolean;
};

const presenceTable = foldTable<PresenceRow>(
  'declared_presence',
  2,
  { workspace: 'int', account: 'int', online: 'bool', changed_at: 'time', erased: 'bool' },
  { erasable: true },
);

type PresenceEvent = RecordedEvent & { readonly type: 'PresenceDeclared' | 'AccountErased' };

/**
 * Presence has an ordering key of its own: an erased account leaves a tombstone here, so that what it said counts for
 * nothing in whatever order the two come.
 */
function evolvePresence(row: PresenceRow | null, event: PresenceEvent): PresenceRow | null {
  if (row?.erased) return null;
  const { workspace, account } = event.data;
  if (event.type === 'AccountErased') return { workspace, account, online: null, changed_at: null, erased: true };
  return { workspace, account, online: event.data.online, changed_at: event.at, erased: false };
}

async function saveLogins(
  client: Queryable,
  logins: readonly { data: EventData<'SessionStarted'>; at: number }[],
): Promise<void> {
  const latest = new Map<string, { workspace: number; account: number; at: number }>();
  for (const { data, at } of logins) {
    const key = keyOf([data.workspace, data.account]);
    const known = latest.get(key);
    if (!known || known.at < at) latest.set(key, { workspace: data.workspace, account: data.account, at });
  }
  const rows = [...latest.values()].sort((a, b) => a.workspace - b.workspace || a.account - b.account);
  await client.query({
    text: `INSERT INTO logins AS t (workspace, account, last_login_at)
      SELECT u.workspace, u.account, to_timestamp(u.at / 1000)
        FROM unnest($1::int[], $2::int[], $3::float8[]) AS u(workspace, account, at)
      ON CONFLICT (workspace, account) DO UPDATE SET last_login_at = excluded.last_login_at
        WHERE t.last_login_at < excluded.last_login_at`,
    values: [
      intArray(rows.map((row) => row.workspace)),
      intArray(rows.map((row) => row.account)),
      doubleArray(rows.map((row) => row.at)),
    ],
  });
}

/** Accounts with what they were called when, what they declared of their presence, and when they last logged in. */
export const accounts: Projection = {
  name: 'accounts',
  version: 2,
  readableFrom: 2,
  tables: tablesOf(import.meta.url),
  async apply(client, events) {
    const changes: AccountEvent[] = [];
    const declared: PresenceEvent[] = [];
    const logins: { data: EventData<'SessionStarted'>; at: number }[] = [];
    for (const event of events) {
      if (isAccountEvent(event)) changes.push(event);
      if (event.type === 'PresenceDeclared' || event.type === 'AccountErased') declared.push(event);
      if (event.type === 'SessionStarted' && event.data.login) logins.push(event);
    }
    const names = new NameChanges();
    await foldInto(
      client,
      accountTable,
      changes,
      ({ data }) => [data.workspace, data.account],
      (row, event) => {
        const next = evolveAccount(row, event);
        if (next) names.note(row, next, event.revision);
        return next;
      },
    );
    await names.save(client);
    await foldInto(client, presenceTable, declared, ({ data }) => [data.workspace, data.account], evolvePresence);
    if (logins.length > 0) await saveLogins(client, logins);
  },
};
