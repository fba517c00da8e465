import { z } from 'zod';
import { fileId, id, millis, openMeta } from './common.ts';
import { defineEvent } from './event.ts';

/** What a message of kind `file` shows as. */
export const mediaKinds = ['image', 'audio', 'video', 'document'] as const;

/** A file stored here (`file`, `thumb`) or elsewhere (`url`), as far as its poster described it. */
const attachment = z.object({
  file: fileId.optional(),
  thumb: fileId.optional(),
  url: z.string().optional(),
  name: z.string().optional(),
  sizeBytes: z.number().optional(),
  mimeType: z.string().optional(),
});

/**
 * What a message says, tagged. `text` is what is shown where a dialect knows text alone: the text, a caption, a title.
 * `label` is the word of the poster's dialect for the type, where the kind does not give it back.
 */
export const messageBody = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('text'), text: z.string() }),
  z.object({
    kind: z.literal('file'),
    media: z.enum(mediaKinds),
    text: z.string(),
    attachment,
    label: z.string().optional(),
  }),
  z.object({ kind: z.literal('poll'), text: z.string(), options: z.array(z.string()) }),
  z.object({ kind: z.literal('action'), text: z.string(), actions: z.array(z.string()) }),
  /** Invites to another room. */
  z.object({ kind: z.literal('invite'), text: z.literal(''), invited: id }),
  /** Of a type that we give back and do not judge. */
  z.object({ kind: z.literal('custom'), label: z.string(), text: z.string(), attachment: attachment.optional() }),
]);

/** What a message says. */
export type MessageBody = z.infer<typeof messageBody>;

/** The message that is answered, and how often it had been edited by then. */
const reply = z.object({ message: id, edit: z.int().min(0) });

/**
 * Who is shown the message, frozen when it was posted: `receivers` get it, `total` counts whoever it waits for. Null where
 * the room's membership decides at each reading.
 */
const audience = z.object({ receivers: z.array(id), total: z.int().min(0) });

const messageRef = z.object({ workspace: id, room: id, message: id });

const posted = {
  sender: id,
  /** Revision of the sender's account as it was: whose name is looked up when it is read. */
  profileRevision: z.int().min(0),
  /** A name that the poster gave in its place: content. */
  senderName: z.string().nullable(),
  /** The sender's device, where known. */
  device: id.nullable(),
  body: messageBody,
  meta: openMeta.nullable(),
  replyTo: reply.nullable(),
  /** The message that this is a copy of. */
  forwardedFrom: id.nullable(),
  audience: audience.nullable(),
};

/** Streams: one per message; one per (message, account) for receipts. */
export const messageEvents = {
  MessagePosted: defineEvent(messageRef.extend(posted)),
  /** The text of its body changed to `text`; meta only where given. */
  MessageEdited: defineEvent(messageRef.extend({ text: z.string(), meta: openMeta.nullable().optional() })),
  /** By `account`: for everyone, which erases the content, or for this account alone. */
  MessageDeleted: defineEvent(messageRef.extend({ account: id, scope: z.enum(['everyone', 'account']) })),
  /** The first time that this account got it, or read it. */
  ReceiptRecorded: defineEvent(messageRef.extend({ account: id, status: z.enum(['delivered', 'read']) })),
};

const by = { by: id };
/** Characters, as code points, that a text may have; 0 or absent: no limit but the event's. */
const maxTextCharacters = z.int().min(0).exactOptional();

/** Commands of a message. Each is judged against its room as well, which the door hands to the rules. */
export const messageCommand = z.discriminatedUnion('command', [
  messageRef.extend({ command: z.literal('PostMessage'), ...by, ...posted, maxTextCharacters }),
  messageRef.extend({
    command: z.literal('EditMessage'),
    ...by,
    text: z.string(),
    meta: openMeta.nullable().exactOptional(),
    maxTextCharacters,
  }),
  messageRef.extend({ command: z.literal('DeleteMessage'), ...by, scope: z.enum(['everyone', 'account']) }),
]);

/** A command of a message. */
export type MessageCommand = z.infer<typeof messageCommand>;

/** Commands of one account's receipts of one message. */
export const receiptCommand = messageRef.extend({
  command: z.literal('RecordReceipt'),
  account: id,
  status: z.enum(['delivered', 'read']),
});

/** A command of one account's receipts of one message. */
export type ReceiptCommand = z.infer<typeof receiptCommand>;

/** A message as the event "erased" keeps it: what its tombstone shows. Times in milliseconds since the epoch. */
export const erasedMessage = z.object({
  message: id,
  sender: posted.sender,
  profileRevision: posted.profileRevision,
  device: posted.device,
  kind: z.enum(['text', 'file', 'poll', 'action', 'invite', 'custom']),
  /** The type in the words of its poster's dialect, or of the medium. */
  label: z.string().nullable(),
  replyTo: posted.replyTo,
  forwardedFrom: posted.forwardedFrom,
  audience: posted.audience,
  edits: z.int().min(0),
  editedAt: millis.nullable(),
  postedAt: millis,
  deletedBy: id,
  deletedAt: millis,
  /** Where its deletion stands in the log; null when it went with its room, sender or workspace. */
  deletedPosition: z.string().nullable().optional(),
});
