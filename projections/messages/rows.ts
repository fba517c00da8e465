import type { EventData } from '../../schemas/index.ts';
import { bigintArray, doubleArray, intArray, textArray } from '../../src/platform/pg-arrays.ts';
import { foldTable, intsArray, jsonArray } from '../fold-table.ts';
import type { Queryable, RecordedEvent } from '../projection.ts';
import { cleanOptional, cleanText } from '../sql.ts';

/** A message as its row has it. Times are milliseconds since the epoch, positions spelled. */
export type MessageRow = {
  readonly workspace: number;
  readonly message: number;
  readonly room: number;
  readonly sender: number;
  readonly profile_revision: number;
  readonly device: number | null;
  readonly reply_to: number | null;
  readonly reply_edit: number | null;
  readonly forwarded_from: number | null;
  readonly audience: readonly number[] | null;
  readonly audience_total: number | null;
  readonly kind: string;
  readonly label: string | null;
  readonly sender_name: string | null;
  readonly content: string | null;
  readonly body: Readonly<Record<string, unknown>> | null;
  readonly meta: Readonly<Record<string, unknown>> | null;
  readonly edits: number;
  readonly hidden: boolean;
  readonly posted_at: number;
  readonly edited_at: number | null;
  readonly deleted_by: number | null;
  readonly deleted_at: number | null;
  readonly position: string | null;
  readonly edited_position: string | null;
  readonly deleted_position: string | null;
  readonly deleted: boolean;
  readonly erased: boolean;
};

export type PostedEvent = RecordedEvent & { readonly type: 'MessagePosted' };

export const messageTable = foldTable<MessageRow>(
  'messages',
  2,
  {
    workspace: 'int',
    message: 'int',
    room: 'int',
    sender: 'int',
    profile_revision: 'int',
    device: 'int',
    reply_to: 'int',
    reply_edit: 'int',
    forwarded_from: 'int',
    audience: 'ints',
    audience_total: 'int',
    kind: 'text',
    label: 'text',
    sender_name: 'text',
    content: 'text',
    body: 'json',
    meta: 'json',
    edits: 'int',
    hidden: 'bool',
    posted_at: 'time',
    edited_at: 'time',
    deleted_by: 'int',
    deleted_at: 'time',
    position: 'position',
    edited_position: 'position',
    deleted_position: 'position',
    deleted: 'bool',
    erased: 'bool',
  },
  { erasable: true },
);

type Body = EventData<'MessagePosted'>['body'];

/** A body without its kind and its text, which are columns; null when nothing is left. */
function restOf(body: Body): Readonly<Record<string, unknown>> | null {
  if (body.kind === 'text') return null;
  const { kind: _, text: __, ...rest } = body;
  return Object.keys(rest).length === 0 ? null : rest;
}

function labelOf(body: Body): string | null {
  if (body.kind === 'file') return body.label ?? body.media;
  return body.kind === 'custom' ? body.label : null;
}

/** The row of a message that was just posted. */
export function postedRow({ data, at, position }: PostedEvent): MessageRow {
  const { workspace, room, message, sender, device, body, meta, replyTo, audience } = data;
  return {
    workspace,
    message,
    room,
    sender,
    profile_revision: data.profileRevision,
    device,
    reply_to: replyTo?.message ?? null,
    reply_edit: replyTo?.edit ?? null,
    forwarded_from: data.forwardedFrom,
    audience: audience?.receivers ?? null,
    audience_total: audience?.total ?? null,
    kind: body.kind,
    label: labelOf(body),
    sender_name: data.senderName,
    content: body.text,
    body: restOf(body),
    meta,
    edits: 0,
    hidden: false,
    posted_at: at,
    edited_at: null,
    deleted_by: null,
    deleted_at: null,
    position: String(position),
    edited_position: null,
    deleted_position: null,
    deleted: false,
    erased: false,
  };
}

/**
 * Inserts messages that were just posted, the hot path: columns that are the same in all of them stand in the statement.
 * Answers whether all of them are new; those that were there already (tombstones) stay as they are.
 */
export async function insertPosted(client: Queryable, posted: readonly PostedEvent[]): Promise<boolean> {
  const sorted = posted.toSorted(({ data: a }, { data: b }) => a.workspace - b.workspace || a.message - b.message);
  const ints = (pick: (data: PostedEvent['data']) => number | null) => intArray(sorted.map(({ data }) => pick(data)));
  const { rowCount } = await client.query({
    ...insert,
    values: [
      ints((data) => data.workspace),
      ints((data) => data.message),
      ints((data) => data.room),
      ints((data) => data.sender),
      ints((data) => data.profileRevision),
      ints((data) => data.device),
      ints((data) => data.replyTo?.message ?? null),
      ints((data) => data.replyTo?.edit ?? null),
      ints((data) => data.forwardedFrom),
      ints((data) => data.audience?.total ?? null),
      intsArray(sorted.map(({ data }) => data.audience?.receivers ?? null)),
      textArray(sorted.map(({ data }) => data.body.kind)),
      textArray(sorted.map(({ data }) => cleanOptional(labelOf(data.body)))),
      textArray(sorted.map(({ data }) => cleanOptional(data.senderName))),
      textArray(sorted.map(({ data }) => cleanText(data.body.text))),
      jsonArray(sorted.map(({ data }) => restOf(data.body))),
      jsonArray(sorted.map(({ data }) => data.meta)),
      doubleArray(sorted.map(({ at }) => at)),
      bigintArray(sorted.map(({ position }) => position)),
    ],
  });
  return rowCount === posted.length;
}

const insert = {
  name: 'messages-posted',
  text: `INSERT INTO messages (workspace, message, room, sender, profile_revision, device, reply_to, reply_edit, forwarded_from,
      audience_total, audience, kind, label, sender_name, content, body, meta, posted_at, position, edits, hidden, deleted,
      erased)
    SELECT u.workspace, u.message, u.room, u.sender, u.profile_revision, u.device, u.reply_to, u.reply_edit,
        u.forwarded_from, u.audience_total, u.audience::int[], u.kind, u.label, u.sender_name, u.content, u.body::jsonb,
        u.meta::jsonb, to_timestamp(u.at / 1000), u.position, 0, false, false, false
      FROM unnest($1::int[], $2::int[], $3::int[], $4::int[], $5::int[], $6::int[], $7::int[], $8::int[], $9::int[],
        $10::int[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[],
        $18::float8[], $19::int8[]) AS u(workspace, message, room, sender, profile_revision, device, reply_to, reply_edit,
        forwarded_from, audience_total, audience, kind, label, sender_name, content, body, meta, at, position)
    ON CONFLICT (workspace, message) DO NOTHING`,
};

/** Of these messages, those whose row is a tombstone, by `workspace/message`. */
export async function tombstonesOf(client: Queryable, posted: readonly PostedEvent[]): Promise<Set<string>> {
  const { rows } = await client.query<{ workspace: number; message: number }>({
    text: `SELECT t.workspace, t.message FROM unnest($1::int[], $2::int[]) AS u(workspace, message)
      JOIN messages t USING (workspace, message) WHERE t.erased`,
    values: [intArray(posted.map(({ data }) => data.workspace)), intArray(posted.map(({ data }) => data.message))],
  });
  return new Set(rows.map(({ workspace, message }) => `${workspace}/${message}`));
}

/** One account's receipts of one message; a time is null for a status that these events do not tell. */
export type ReceiptRow = {
  readonly workspace: number;
  readonly message: number;
  readonly account: number;
  readonly room: number;
  delivered_at: number | null;
  read_at: number | null;
  delivered_position: bigint | null;
  read_position: bigint | null;
};

/** Adds receipts of messages that live. */
export async function saveReceipts(client: Queryable, receipts: readonly ReceiptRow[]): Promise<void> {
  if (receipts.length === 0) return;
  const sorted = receipts.toSorted(
    (a, b) => a.workspace - b.workspace || a.message - b.message || a.account - b.account,
  );
  await client.query({
    name: 'message-receipts-save',
    text: `INSERT INTO message_receipts AS t (workspace, message, account, room, delivered_at, read_at, delivered_position,
        read_position)
      SELECT u.workspace, u.message, u.account, u.room, to_timestamp(u.delivered_at / 1000), to_timestamp(u.read_at / 1000),
          u.delivered_position, u.read_position
        FROM unnest($1::int[], $2::int[], $3::int[], $4::int[], $5::float8[], $6::float8[], $7::int8[], $8::int8[])
          AS u(workspace, message, account, room, delivered_at, read_at, delivered_position, read_position)
          JOIN messages m USING (workspace, message)
        WHERE NOT m.deleted
      ON CONFLICT (workspace, message, account) DO UPDATE SET delivered_at = coalesce(t.delivered_at, excluded.delivered_at),
        read_at = coalesce(t.read_at, excluded.read_at),
        delivered_position = coalesce(t.delivered_position, excluded.delivered_position),
        read_position = coalesce(t.read_position, excluded.read_position)`,
    values: [
      intArray(sorted.map((row) => row.workspace)),
      intArray(sorted.map((row) => row.message)),
      intArray(sorted.map((row) => row.account)),
      intArray(sorted.map((row) => row.room)),
      doubleArray(sorted.map((row) => row.delivered_at)),
      doubleArray(sorted.map((row) => row.read_at)),
      bigintArray(sorted.map((row) => row.delivered_position)),
      bigintArray(sorted.map((row) => row.read_position)),
    ],
  });
}

/** A message that an account deleted for itself. */
export interface Hiding {
  readonly workspace: number;
  readonly message: number;
  readonly account: number;
  readonly room: number;
  readonly position: bigint;
}

/** Adds hidings; the first of an account counts. */
export async function saveHidings(client: Queryable, hidings: readonly Hiding[]): Promise<void> {
  if (hidings.length === 0) return;
  const sorted = hidings.toSorted(
    (a, b) => a.workspace - b.workspace || a.message - b.message || a.account - b.account,
  );
  await client.query({
    text: `INSERT INTO message_hidings (workspace, message, account, room, position)
      SELECT * FROM unnest($1::int[], $2::int[], $3::int[], $4::int[], $5::int8[])
      ON CONFLICT (workspace, message, account) DO NOTHING`,
    values: [
      intArray(sorted.map((row) => row.workspace)),
      intArray(sorted.map((row) => row.message)),
      intArray(sorted.map((row) => row.account)),
      intArray(sorted.map((row) => row.room)),
      bigintArray(sorted.map((row) => row.position)),
    ],
  });
}

/** Takes away the receipts and hidings of messages that were deleted for everyone. */
export async function removeTraces(
  client: Queryable,
  messages: readonly Pick<MessageRow, 'workspace' | 'message'>[],
): Promise<void> {
  if (messages.length === 0) return;
  const values = [intArray(messages.map((row) => row.workspace)), intArray(messages.map((row) => row.message))];
  for (const table of ['message_receipts', 'message_hidings']) {
    await client.query({
      text: `DELETE FROM ${table} t USING unnest($1::int[], $2::int[]) AS u(workspace, message)
        WHERE t.workspace = u.workspace AND t.message = u.message`,
      values,
    });
  }
}

/** How the activity of one room changes. */
export type ActivityChange = {
  readonly workspace: number;
  readonly room: number;
  messages: number;
  restricted: number;
  lastMessage: number;
  lastMessageAt: number;
};

/** Adds sums and takes maxima: the order does not matter. */
export async function saveActivity(client: Queryable, changes: readonly ActivityChange[]): Promise<void> {
  if (changes.length === 0) return;
  const sorted = changes.toSorted((a, b) => a.workspace - b.workspace || a.room - b.room);
  await client.query({
    name: 'room-activity-save',
    text: `INSERT INTO room_activity AS t (workspace, room, message_count, restricted_count, last_message, last_message_at)
      SELECT u.workspace, u.room, u.messages, u.restricted, u.last_message, to_timestamp(u.last_at / 1000)
        FROM unnest($1::int[], $2::int[], $3::int[], $4::int[], $5::int[], $6::float8[])
          AS u(workspace, room, messages, restricted, last_message, last_at)
      ON CONFLICT (workspace, room) DO UPDATE SET message_count = t.message_count + excluded.message_count,
        restricted_count = t.restricted_count + excluded.restricted_count,
        last_message = greatest(t.last_message, excluded.last_message),
        last_message_at = greatest(t.last_message_at, excluded.last_message_at)`,
    values: [
      intArray(sorted.map((change) => change.workspace)),
      intArray(sorted.map((change) => change.room)),
      intArray(sorted.map((change) => change.messages)),
      intArray(sorted.map((change) => change.restricted)),
      intArray(sorted.map((change) => change.lastMessage)),
      doubleArray(sorted.map((change) => change.lastMessageAt)),
    ],
  });
}
