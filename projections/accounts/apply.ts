import { type EventData, normalizeEmail } from '../../schemas/index.ts';
import { doubleArray, intArray } from '../../src/platform/pg-arrays.ts';
import { foldInto, foldTable, keyOf } from '../fold-table.ts';
import { type Projection, type Queryable, type RecordedEvent, tablesOf } from '../projection.ts';

type AccountRow = {
  readonly workspace: number;
  readonly account: number;
  readonly kind: string;
  readonly email: string | null;
  readonly email_normalised: string | null;
  readonly display_name: string | null;
  readonly tier: string | null;
  readonly opened_at: number;
};

const table = foldTable<AccountRow>(
  'accounts',
  2,
  {
    workspace: 'int',
    account: 'int',
    kind: 'text',
    email: 'text',
    email_normalised: 'text',
    display_name: 'text',
    tier: 'text',
    opened_at: 'time',
  },
  { erasable: false },
);

type AccountEvent = RecordedEvent & {
  readonly type: 'AccountOpened' | 'IdentifierAttached' | 'ProfileChanged' | 'TierChanged';
};

function evolve(row: AccountRow | null, event: AccountEvent): AccountRow | null {
  if (event.type === 'AccountOpened') {
    const { workspace, account, kind } = event.data;
    const none = { email: null, email_normalised: null, display_name: null, tier: null };
    return { workspace, account, kind, ...none, opened_at: event.at };
  }
  if (!row) return null;
  switch (event.type) {
    case 'IdentifierAttached': {
      if (event.data.kind !== 'email') return null;
      return { ...row, email: event.data.value, email_normalised: normalizeEmail(event.data.value) };
    }
    case 'ProfileChanged':
      return event.data.displayName === undefined ? null : { ...row, display_name: event.data.displayName };
    case 'TierChanged':
      return { ...row, tier: event.data.tier };
  }
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

/** Accounts, and when they last logged in. */
export const accounts: Projection = {
  name: 'accounts',
  version: 1,
  readableFrom: 1,
  tables: tablesOf(import.meta.url),
  async apply(client, events) {
    const changes: AccountEvent[] = [];
    const logins: { data: EventData<'SessionStarted'>; at: number }[] = [];
    for (const event of events) {
      switch (event.type) {
        case 'AccountOpened':
        case 'IdentifierAttached':
        case 'ProfileChanged':
        case 'TierChanged':
          changes.push(event);
          break;
        case 'SessionStarted':
          if (event.data.login) logins.push(event);
      }
    }
    await foldInto(client, table, changes, ({ data }) => [data.workspace, data.account], evolve);
    if (logins.length > 0) await saveLogins(client, logins);
  },
};
