import type { MessageBody } from '../../schemas/index.ts';
import { calledNow } from '../rooms/members.ts';
import { living, ms } from '../sql.ts';

/** A message as it can be read. Times are milliseconds since the epoch. Of a tombstone nothing that it said is left. */
export interface MessageView {
  readonly workspace: number;
  readonly room: number;
  readonly message: number;
  /** 0: the service account. */
  readonly sender: number;
  /**
   * What the poster gave, else what the sender was called then: display name, given and family name, username. Null where
   * nothing was ever said, and of a deleted account, unless the poster gave a name.
   */
  readonly senderName: string | null;
  readonly senderDeleted: boolean;
  readonly device: number | null;
  readonly kind: MessageBody['kind'];
  /** The word of its poster's dialect for the type, else the medium of a file; null where `kind` says it. */
  readonly label: string | null;
  /** Null of a tombstone. */
  readonly body: MessageBody | null;
  readonly meta: Readonly<Record<string, unknown>> | null;
  readonly replyTo: { readonly message: number; readonly edit: number } | null;
  readonly forwardedFrom: number | null;
  readonly audience: { readonly receivers: readonly number[]; readonly total: number } | null;
  readonly edits: number;
  readonly postedAt: number;
  /** When it was last edited; null when it never was. */
  readonly editedAt: number | null;
  /** Deleted for everyone. */
  readonly deleted: boolean;
  readonly deletedBy: number | null;
  readonly deletedAt: number | null;
}

/** The columns of a MessageView, of `messages m` and `nameJoins`. */
export const columns = `m.workspace, m.room, m.message, m.sender, coalesce(m.sender_name, ${calledNow('n')}) AS "senderName",
  coalesce(who.deleted, false) AS "senderDeleted", m.device, m.kind, m.label,
  CASE WHEN NOT m.deleted THEN jsonb_build_object('kind', m.kind, 'text', m.content) || coalesce(m.body, '{}') END AS body,
  m.meta, CASE WHEN m.reply_to IS NOT NULL THEN json_build_object('message', m.reply_to, 'edit', m.reply_edit) END AS "replyTo",
  m.forwarded_from AS "forwardedFrom",
  CASE WHEN m.audience IS NOT NULL THEN json_build_object('receivers', m.audience, 'total', m.audience_total) END AS audience,
  m.edits, ${ms('m.posted_at')} AS "postedAt", ${ms('m.edited_at')} AS "editedAt", m.deleted,
  m.deleted_by AS "deletedBy", ${ms('m.deleted_at')} AS "deletedAt"`;

/** What `columns` need beside the messages that were chosen: joined to those alone. */
export const nameJoins = `LEFT JOIN accounts who ON who.workspace = m.workspace AND who.account = m.sender
  LEFT JOIN LATERAL (SELECT * FROM account_names names
    WHERE names.workspace = m.workspace AND names.account = m.sender AND names.revision <= m.profile_revision
    ORDER BY names.revision DESC LIMIT 1) n ON true`;

/** Who reads: an account; 0, the service account, which sees everything; null, anybody without an account. */
export type Viewer = number | null;

/**
 * Rooms that a viewer sees messages of, as rows (room, history_from, hidden_until, member). $1 is the workspace, $2 the viewer.
 * `rooms` is an int[] of the rooms asked for, those that the viewer does not see are left out; null for all of the viewer's.
 */
export function seenRooms(viewer: Viewer, rooms: string | null): string {
  const there = `r.workspace = $1 AND NOT r.erasing AND ${living('$1')}`;
  const membership = `o.workspace = r.workspace AND o.room = r.room AND o.account = $2::int AND o.ended_position IS NULL`;
  if (viewer === 0) {
    return `SELECT r.room, NULL::timestamptz AS history_from, NULL::timestamptz AS hidden_until, false AS member
      FROM rooms r WHERE ${there} AND $2::int = 0 ${rooms === null ? '' : `AND r.room = ANY (${rooms})`}`;
  }
  const fields = 'r.room, o.history_from, o.hidden_until, o.membership IS NOT NULL AS member';
  if (rooms === null && viewer !== null) {
    return `SELECT ${fields} FROM memberships o JOIN rooms r ON ${membership} WHERE ${there} AND o.workspace = $1 AND o.account = $2`;
  }
  return `SELECT ${fields} FROM rooms r LEFT JOIN memberships o ON ${membership}
    WHERE ${there} AND (o.membership IS NOT NULL OR r.visibility = 'public')
      ${rooms === null ? '' : `AND r.room = ANY (${rooms})`}`;
}

/** Holds for messages `m` of a room `s` of `seenRooms` that the viewer $2 is shown. */
export const shown = `($2::int = 0 OR ((s.history_from IS NULL OR m.posted_at >= s.history_from)
  AND (s.hidden_until IS NULL OR m.posted_at > s.hidden_until)
  AND (m.audience IS NULL OR (s.member AND $2 = ANY (m.audience)))
  AND NOT (m.hidden AND EXISTS (SELECT FROM message_hidings h
    WHERE h.workspace = $1 AND h.message = m.message AND h.account = $2))) IS TRUE)`;
