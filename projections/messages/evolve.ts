import type { EventData } from '../../schemas/index.ts';
import type { RecordedEvent } from '../projection.ts';
import type { MessageRow } from './rows.ts';

/**
 * An erased message as its event "erased" keeps it. `deletedPosition`, spelled, is that of the event that had deleted it for
 * everyone: with it the deletion keeps its place in the history of its room. Null when there was none (it went with its room,
 * its sender or its workspace): history tells no deletion then, as nobody was told of one. Where it is not said at all, the
 * deletion stands where the event "erased" does.
 */
export type ErasedItem = EventData<'MessagesErased'>['items'][number];

/** What an event says of one message after it was posted. */
export type Later =
  | (RecordedEvent & { readonly type: 'MessageEdited' | 'MessageDeleted' })
  | {
      readonly type: 'erased';
      readonly data: { readonly workspace: number; readonly room: number; readonly message: number };
      readonly item: ErasedItem;
      readonly position: bigint;
    };

const unsaid = { sender_name: null, content: null, body: null, meta: null, hidden: false };

/** The row after an event; null when it stays as it is. */
export function evolveMessage(row: MessageRow | null, later: Later): MessageRow | null {
  if (row?.erased) return null;
  if (later.type === 'erased') return tombstone(later);
  // Without a row the message's beginning was blanked before it was read: its event "erased" makes the row.
  if (!row || row.deleted) return null;
  if (later.type === 'MessageEdited') {
    const { text, meta = row.meta } = later.data;
    const edited = { edits: row.edits + 1, edited_at: later.at, edited_position: String(later.position) };
    // An invite has no text of its own.
    return { ...row, content: row.kind === 'invite' ? row.content : text, meta, ...edited };
  }
  const { scope, account } = later.data;
  if (scope === 'account') return { ...row, hidden: true };
  const deleted = { deleted: true, deleted_by: account, deleted_at: later.at };
  return { ...row, ...unsaid, ...deleted, deleted_position: String(later.position) };
}

function tombstone({ data, item, position }: Later & { readonly type: 'erased' }): MessageRow {
  const { workspace, room } = data;
  const { message, sender, device, kind, label, replyTo, audience, edits } = item;
  return {
    workspace,
    message,
    room,
    sender,
    profile_revision: item.profileRevision,
    device,
    reply_to: replyTo?.message ?? null,
    reply_edit: replyTo?.edit ?? null,
    forwarded_from: item.forwardedFrom,
    audience: audience?.receivers ?? null,
    audience_total: audience?.total ?? null,
    kind,
    label,
    ...unsaid,
    edits,
    posted_at: item.postedAt,
    edited_at: item.editedAt,
    deleted_by: item.deletedBy,
    deleted_at: item.deletedAt,
    position: null,
    edited_position: null,
    deleted_position: item.deletedPosition === undefined ? String(position) : item.deletedPosition,
    deleted: true,
    erased: true,
  };
}
