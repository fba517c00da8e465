import { boolArray, doubleArray, intArray, textArray } from '../../src/platform/pg-arrays.ts';
import type { Queryable } from '../projection.ts';
import { cleanOptional, cleanText, ms } from '../sql.ts';
import type { Accepted, DispatchRow } from './evolve.ts';

/** The rows of these dispatches without recipient and text, which nothing changes. Locked in the order of their ids. */
export async function loadRows(client: Queryable, dispatches: readonly string[]): Promise<Map<string, DispatchRow>> {
  if (dispatches.length === 0) return new Map();
  const { rows } = await client.query<Omit<DispatchRow, 'recipient' | 'text'>>({
    ...load,
    values: [textArray(dispatches)],
  });
  return new Map(rows.map((row) => [row.dispatch, { ...row, recipient: null, text: null }]));
}

const load = {
  name: 'dispatches-load',
  text: `SELECT dispatch, workspace, owner_workspace AS "ownerWorkspace", owner_account AS "ownerAccount", key, connector,
      connector_type AS "connectorType", template, ${ms('created_at')} AS "createdAt", status, attempts,
      ${ms('due')} AS due, external_id AS "externalId", error, ${ms('sent_at')} AS "sentAt",
      ${ms('delivered_at')} AS "deliveredAt", revision, erased
    FROM unnest($1::text[]) AS u(dispatch) JOIN dispatches USING (dispatch) ORDER BY dispatch FOR UPDATE OF dispatches`,
};

/**
 * Inserts dispatches that were just accepted, the hot path: every column that is the same in all of them stands in the
 * statement. Answers those that were there already, as tombstones.
 */
export async function insertAccepted(client: Queryable, accepted: readonly Accepted[]): Promise<Set<string>> {
  const count = accepted.length;
  const ids = new Array<string>(count);
  const types = new Array<string>(count);
  const recipients = new Array<string>(count);
  const texts = new Array<string>(count);
  const ats = new Array<number>(count);
  const ints = Array.from({ length: 7 }, () => new Array<number>(count)) as Ints;
  const [workspaces, ownerWorkspaces, ownerAccounts, keys, connectors, templates, revisions] = ints;
  for (let i = 0; i < count; i++) {
    const { data, at, revision } = accepted[i] as Accepted;
    ids[i] = data.dispatch;
    types[i] = data.connectorType;
    recipients[i] = cleanText(data.to);
    texts[i] = cleanText(data.text);
    ats[i] = at;
    workspaces[i] = data.workspace;
    ownerWorkspaces[i] = data.owner.workspace;
    ownerAccounts[i] = data.owner.account;
    keys[i] = data.key;
    connectors[i] = data.connector;
    templates[i] = data.template;
    revisions[i] = revision;
  }
  const values = [...[ids, types, recipients, texts].map(textArray), doubleArray(ats), ...ints.map(intArray)];
  if (!(await anyErased(client, new Set(workspaces)))) {
    await client.query({ ...insertAll, values });
    return new Set();
  }
  const { rowCount } = await client.query({ ...insertUnknown, values });
  if (rowCount === count) return new Set();
  const { rows } = await client.query<{ dispatch: string }>({
    text: 'SELECT dispatch FROM unnest($1::text[]) AS u(dispatch) JOIN dispatches USING (dispatch) WHERE erased',
    values: [textArray(ids)],
  });
  if (rows.length !== count - (rowCount ?? 0))
    throw new Error('a dispatch that was accepted already was accepted again');
  return new Set(rows.map((row) => row.dispatch));
}

/** Whether any of these workspaces has a tombstone: only then can a dispatch be there before it is accepted. */
async function anyErased(client: Queryable, workspaces: ReadonlySet<number>): Promise<boolean> {
  const { rows } = await client.query<{ any: boolean }>({
    name: 'dispatches-any-erased',
    text: 'SELECT EXISTS (SELECT FROM dispatches WHERE erased AND workspace = ANY ($1::int[])) AS any',
    values: [intArray([...workspaces])],
  });
  return rows[0]?.any ?? true;
}

type Ints = [number[], number[], number[], number[], number[], number[], number[]];

const insertAccepteds = `INSERT INTO dispatches (dispatch, connector_type, recipient, text, created_at, due, workspace, owner_workspace,
      owner_account, key, connector, template, revision, attempts, status, erased)
    SELECT u.dispatch, u.connector_type, u.recipient, u.text, to_timestamp(u.at / 1000), to_timestamp(u.at / 1000),
        u.workspace, u.owner_workspace, u.owner_account, u.key, u.connector, u.template, u.revision, 0, 'pending', false
      FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[], $6::int[], $7::int[], $8::int[], $9::int[],
        $10::int[], $11::int[], $12::int[]) AS u(dispatch, connector_type, recipient, text, at, workspace, owner_workspace,
        owner_account, key, connector, template, revision)`;
const insertAll = { name: 'dispatches-accepted', text: insertAccepteds };
/** Costs 4 us a row more (see tables.sql). */
const insertUnknown = {
  name: 'dispatches-accepted-unknown',
  text: `${insertAccepteds} WHERE NOT EXISTS (SELECT FROM dispatches known WHERE known.dispatch = u.dispatch)`,
};

/** The columns of a whole row, in the order of `insert`. */
function wholeRows(rows: readonly DispatchRow[]): Buffer[] {
  return [
    ...changingColumns(rows),
    intArray(rows.map((row) => row.workspace)),
    intArray(rows.map((row) => row.ownerWorkspace)),
    intArray(rows.map((row) => row.ownerAccount)),
    intArray(rows.map((row) => row.key)),
    intArray(rows.map((row) => row.connector)),
    textArray(rows.map((row) => row.connectorType)),
    intArray(rows.map((row) => row.template)),
    textArray(rows.map((row) => cleanOptional(row.recipient))),
    textArray(rows.map((row) => cleanOptional(row.text))),
    doubleArray(rows.map((row) => row.createdAt)),
    boolArray(rows.map((row) => row.erased)),
  ];
}

function changingColumns(rows: readonly DispatchRow[]): Buffer[] {
  return [
    textArray(rows.map((row) => row.dispatch)),
    textArray(rows.map((row) => row.status)),
    intArray(rows.map((row) => row.attempts)),
    doubleArray(rows.map((row) => row.due)),
    textArray(rows.map((row) => cleanOptional(row.externalId))),
    textArray(rows.map((row) => cleanOptional(row.error))),
    doubleArray(rows.map((row) => row.sentAt)),
    doubleArray(rows.map((row) => row.deliveredAt)),
    intArray(rows.map((row) => row.revision)),
  ];
}

function sorted(rows: readonly DispatchRow[]): DispatchRow[] {
  return rows.toSorted((a, b) => (a.dispatch < b.dispatch ? -1 : 1));
}

/** Inserts rows that are further than accepted. */
export async function insertRows(client: Queryable, rows: readonly DispatchRow[]): Promise<void> {
  if (rows.length > 0) await client.query({ ...insert, values: wholeRows(sorted(rows)) });
}

/** Writes tombstones in the place of rows. */
export async function replaceRows(client: Queryable, rows: readonly DispatchRow[]): Promise<void> {
  if (rows.length > 0) await client.query({ ...replace, values: wholeRows(sorted(rows)) });
}

/** Writes what events change in rows that are there. */
export async function updateRows(client: Queryable, rows: readonly DispatchRow[]): Promise<void> {
  if (rows.length > 0) await client.query({ ...update, values: changingColumns(sorted(rows)) });
}

const changing = 'dispatch, status, attempts, due, external_id, error, sent_at, delivered_at, revision';
const fixed =
  'workspace, owner_workspace, owner_account, key, connector, connector_type, template, recipient, text, created_at, erased';
const changingArrays =
  '$1::text[], $2::text[], $3::int[], $4::float8[], $5::text[], $6::text[], $7::float8[], $8::float8[], $9::int[]';

const wholeArrays = `${changingArrays}, $10::int[], $11::int[], $12::int[], $13::int[], $14::int[], $15::text[], $16::int[],
  $17::text[], $18::text[], $19::float8[], $20::bool[]`;
const changed = `u.status, u.attempts, to_timestamp(u.due / 1000), u.external_id, u.error, to_timestamp(u.sent_at / 1000),
  to_timestamp(u.delivered_at / 1000), u.revision`;
const whole = `${changed}, u.workspace, u.owner_workspace, u.owner_account, u.key, u.connector, u.connector_type, u.template,
  u.recipient, u.text, to_timestamp(u.created_at / 1000), u.erased`;

const insert = {
  name: 'dispatches-insert',
  text: `INSERT INTO dispatches (${changing}, ${fixed}) SELECT u.dispatch, ${whole} FROM unnest(${wholeArrays}) AS u(${changing}, ${fixed})`,
};

const replace = {
  name: 'dispatches-replace',
  text: `UPDATE dispatches t SET (${changing.replace('dispatch, ', '')}, ${fixed}) = ROW (${whole})
    FROM unnest(${wholeArrays}) AS u(${changing}, ${fixed}) WHERE t.dispatch = u.dispatch`,
};

const update = {
  name: 'dispatches-update',
  text: `UPDATE dispatches t SET (${changing.replace('dispatch, ', '')}) = ROW (${changed})
    FROM unnest(${changingArrays}) AS u(${changing}) WHERE t.dispatch = u.dispatch`,
};
