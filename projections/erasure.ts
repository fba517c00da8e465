/**
 * What was deleted and still has to be erased, as events "erased" need it: read by the chore that erases, step by step,
 * across crashes. The dispatches of a workspace come in pages from `dispatchesToErase`.
 */
import type { ConnectorType } from './connectors/queries.ts';
import type { ErasedItem } from './messages/evolve.ts';
import type { AccountRef, Queryable } from './projection.ts';
import { ms } from './sql.ts';

/** One thing to erase. */
export type Erasable =
  | { readonly kind: 'key' | 'webhook'; readonly workspace: number; readonly id: number }
  | {
      readonly kind: 'connector' | 'template';
      readonly workspace: number;
      readonly id: number;
      readonly connectorType: ConnectorType;
    };

/**
 * An account, a device or a room to erase. What was said in a room, or by an account that takes it along, is erased before: see
 * `messagesToErase`. Times are milliseconds since the epoch.
 */
export type ErasablePerson =
  | {
      readonly kind: 'account';
      readonly workspace: number;
      readonly id: number;
      readonly accountKind: 'person' | 'bot' | 'service';
      readonly openedAt: number;
      /** `erase` where its workspace is deleted. */
      readonly messages: 'keep' | 'erase';
      /** Those bound to it that are not erased. */
      readonly devices: readonly number[];
    }
  | { readonly kind: 'device'; readonly workspace: number; readonly id: number; readonly account: number }
  | {
      readonly kind: 'room';
      readonly workspace: number;
      readonly id: number;
      readonly roomKind: 'private' | 'group' | 'channel' | 'support';
      readonly createdAt: number;
    };

/** A table with things to erase: which of its rows are deleted, and what their event "erased" needs beside the number. */
interface Source {
  readonly kind: (Erasable | ErasablePerson)['kind'];
  readonly deleted: string;
  readonly details: string;
}

const typed = "jsonb_build_object('connectorType', t.connector_type)";
const things: readonly Source[] = [
  { kind: 'key', deleted: 't.deleted', details: "'{}'::jsonb" },
  { kind: 'connector', deleted: 't.deleted', details: typed },
  { kind: 'template', deleted: 't.deleted', details: typed },
  { kind: 'webhook', deleted: 't.deleted', details: "'{}'::jsonb" },
];
const people: readonly Source[] = [
  {
    kind: 'account',
    deleted: 't.deleted',
    details: `jsonb_build_object('accountKind', t.kind, 'openedAt', ${ms('t.opened_at')},
      'messages', CASE WHEN w.deleted THEN 'erase' ELSE t.messages END, 'devices', ARRAY (SELECT d.device FROM devices d
        WHERE d.workspace = t.workspace AND d.account = t.account AND NOT d.erased ORDER BY d.device))`,
  },
  { kind: 'device', deleted: 't.deleted', details: "jsonb_build_object('account', t.account)" },
  {
    kind: 'room',
    deleted: 't.erasing',
    details: `jsonb_build_object('roomKind', t.kind, 'createdAt', ${ms('t.created_at')})`,
  },
];

async function deletedFrom<T>(db: Queryable, sources: readonly Source[], limit: number): Promise<T[]> {
  const parts = sources.map(({ kind, deleted, details }) => {
    const columns = `'${kind}' AS kind, t.workspace, t.${kind} AS id, ${details} AS details`;
    return `(SELECT ${columns} FROM ${kind}s t LEFT JOIN workspaces w USING (workspace)
        WHERE ${deleted} AND NOT t.erased LIMIT $1)
      UNION ALL (SELECT ${columns} FROM workspaces w JOIN ${kind}s t USING (workspace)
        WHERE w.deleted AND NOT w.erased AND NOT ${deleted} AND NOT t.erased LIMIT $1)`;
  });
  const { rows } = await db.query<{ details: object }>({ text: parts.join(' UNION ALL '), values: [limit] });
  return rows.map(({ details, ...thing }) => ({ ...thing, ...details }) as T);
}

/** Keys, connectors, templates and webhooks that were deleted, alone or with their workspace, and not erased: `limit` of each way at most. */
export function deletedThings(db: Queryable, limit: number): Promise<Erasable[]> {
  return deletedFrom(db, things, limit);
}

/** Accounts, devices and rooms that were deleted, alone or with their workspace, and not erased: `limit` of each way at most. */
export function deletedPeople(db: Queryable, limit: number): Promise<ErasablePerson[]> {
  return deletedFrom(db, people, limit);
}

/** A message to erase: an item of the event "erased" of its room's messages. */
export interface ErasableMessage {
  readonly workspace: number;
  readonly room: number;
  readonly item: ErasedItem;
}

/**
 * Messages to erase, at most `limit`, by workspace, room and number: those deleted for everyone, and those of a room, a sender
 * or a workspace that is being erased. Without a cursor: what was erased is not found any more. `of` narrows to one workspace,
 * room or sender, to see whether anything is left.
 */
export async function messagesToErase(
  db: Queryable,
  limit: number,
  of: { readonly workspace?: number; readonly room?: number; readonly sender?: number } = {},
): Promise<ErasableMessage[]> {
  const wanted = `NOT m.erased AND ($2::int IS NULL OR m.workspace = $2) AND ($3::int IS NULL OR m.room = $3)
    AND ($4::int IS NULL OR m.sender = $4)`;
  const ordered = 'ORDER BY m.workspace, m.room, m.message LIMIT $1';
  // What is not erased has a position: by that index tombstones are not met again and again.
  const living = 'm.position IS NOT NULL';
  const each = (owners: string, match: string, order: string) => `(SELECT found.* FROM ${owners} CROSS JOIN LATERAL (
      SELECT m.workspace, m.message FROM messages m WHERE ${match} AND ${living} AND ${wanted} ORDER BY ${order} LIMIT $1
    ) found LIMIT $1)`;
  const { rows } = await db.query<ErasableMessage>({
    text: `WITH found AS (
        (SELECT m.workspace, m.message FROM messages m WHERE m.deleted AND ${wanted} ${ordered})
        UNION ${each(
          '(SELECT * FROM rooms r WHERE r.erasing AND NOT r.erased) r',
          'm.workspace = r.workspace AND m.room = r.room',
          'm.position',
        )}
        UNION ${each(
          "(SELECT * FROM accounts a WHERE a.deleted AND NOT a.erased AND a.messages = 'erase') a",
          'm.workspace = a.workspace AND m.sender = a.account',
          'm.message',
        )}
        UNION ${each(
          '(SELECT * FROM workspaces w WHERE w.deleted AND NOT w.erased) w',
          'm.workspace = w.workspace',
          'm.room, m.position',
        )}
      )
      SELECT m.workspace, m.room, jsonb_build_object('message', m.message, 'sender', m.sender,
          'profileRevision', m.profile_revision, 'device', m.device, 'kind', m.kind, 'label', m.label,
          'replyTo', CASE WHEN m.reply_to IS NOT NULL THEN jsonb_build_object('message', m.reply_to, 'edit', m.reply_edit) END,
          'forwardedFrom', m.forwarded_from, 'audience', CASE WHEN m.audience IS NOT NULL
            THEN jsonb_build_object('receivers', m.audience, 'total', m.audience_total) END,
          'edits', m.edits, 'editedAt', ${ms('m.edited_at')}, 'postedAt', ${ms('m.posted_at')},
          'deletedBy', coalesce(m.deleted_by, 0), 'deletedPosition', m.deleted_position::text,
          'deletedAt', ${ms('coalesce(m.deleted_at, r.deleted_at, a.deleted_at, m.edited_at, m.posted_at)')}) AS item
        FROM found JOIN messages m USING (workspace, message) LEFT JOIN rooms r USING (workspace, room)
          LEFT JOIN accounts a ON a.workspace = m.workspace AND a.account = m.sender
        ${ordered}`,
    values: [limit, of.workspace ?? null, of.room ?? null, of.sender ?? null],
  });
  return rows;
}

/** A workspace that was deleted and not erased. `createdAt` is milliseconds since the epoch. */
export interface DeletedWorkspace {
  readonly workspace: number;
  readonly kind: 'system' | 'project' | 'client';
  readonly owner: AccountRef | null;
  readonly createdAt: number;
}

/** Workspaces that were deleted and not erased, oldest first. To be erased last, after what is in them. */
export async function deletedWorkspaces(db: Queryable, limit: number): Promise<DeletedWorkspace[]> {
  const { rows } = await db.query<DeletedWorkspace>({
    text: `SELECT workspace, kind, ${ms('created_at')} AS "createdAt", CASE WHEN owner_account IS NOT NULL
        THEN json_build_object('workspace', owner_workspace, 'account', owner_account) END AS owner
      FROM workspaces WHERE deleted AND NOT erased ORDER BY created_at, workspace LIMIT $1`,
    values: [limit],
  });
  return rows;
}
