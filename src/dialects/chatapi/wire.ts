/**
 * The shapes on the wire, as zod schemas: what the dialect's document shows, and what bodies are checked by. Objects take
 * and drop fields they do not know.
 */
import { z } from 'zod';
import { isLongerThan } from '../../commands/index.ts';
import { contentTooLong, type FieldProblem, invalid, invalidField, statusOf, type WireCode } from './errors.ts';

/** A text that the tables can hold: no NUL, no half of a surrogate pair. */
function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

const storable = [isStorable, { error: 'Holds characters that cannot be stored' }] as const;
/** Values nested deeper than this are refused: what spells them as JSON goes down as deep. */
const maxDepth = 64;

/** A text of at most so many characters, as code points; `error` says what is wrong with one that is empty. */
export function words(maxLength: number, minLength = 0) {
  return z
    .string({ error: (issue) => (issue.input === undefined ? 'Field required' : 'Must be a text') })
    .min(minLength, { error: 'Cannot be empty' })
    .refine((text) => !isLongerThan(text, maxLength), { error: `Must have at most ${maxLength} characters` })
    .refine(...storable)
    .meta({ maxLength });
}

/**
 * The schema, and what its fields must be together. `judge` is given those that are well-formed, and the names of those that
 * are not: what it finds stands beside what is wrong with these.
 */
export function judged<S extends z.ZodObject>(
  schema: S,
  judge: (body: Partial<z.output<S>>, wrong: ReadonlySet<string>) => Iterable<FieldProblem>,
): S {
  return schema.superRefine(
    (body, ctx) => {
      const wrong = new Set(ctx.issues.map(({ path }) => String(path?.[0])));
      const sound = Object.fromEntries(Object.entries(body).filter(([name]) => !wrong.has(name)));
      for (const { field, message } of judge(sound as Partial<z.output<S>>, wrong)) {
        const path = field.split('.');
        if (!wrong.has(path[0] as string)) ctx.addIssue({ code: 'custom', path, message });
      }
    },
    { when: ({ value }) => typeof value === 'object' && value !== null },
  );
}

/** Any object that can be stored. */
export const meta = z
  .record(z.string(), z.unknown(), { error: 'Must be an object' })
  .refine((value) => isStorableJson(value, maxDepth), { error: 'Is nested too deeply or cannot be stored' });

function isStorableJson(value: unknown, depth: number): boolean {
  if (typeof value === 'string') return isStorable(value);
  if (typeof value !== 'object' || value === null) return true;
  if (depth === 0) return false;
  return Object.entries(value).every(([name, each]) => isStorable(name) && isStorableJson(each, depth - 1));
}

/** A point in time: ISO 8601, UTC. */
export const time = z.iso.datetime().meta({ example: '2024-01-01T12:00:00.000Z' });
export const id = z.string().meta({ format: 'uuid' });
export const count = z.int().min(0);
export const flag = z.boolean({ error: 'Must be true or false' });
export const text = z.string().nullable();
export const anyMeta = z.record(z.string(), z.unknown()).nullable();
/** Of the answer to a create: the mark of a tombstone. */
export const isDeleted = z
  .boolean()
  .optional()
  .describe('True where a repetition finds that what its key made is gone: of that only ids and times are left');

const fieldProblem = z.object({ field: z.string(), message: z.string() });

/** Every error answer. One that nothing decides between two dialects has the other's fields beside it. */
export const errorBody = z
  .looseObject({
    detail: z.string().describe('Text for people'),
    error_code: z.enum(Object.keys(statusOf) as [WireCode, ...WireCode[]]),
    status_code: z.int(),
    timestamp: time,
    errors: z.array(fieldProblem).optional(),
  })
  .meta({ id: 'Error', description: 'The request was refused' });

/** An answer without a body. */
export const nothing = z.null().meta({ description: 'Done; no body' });

/** One object, in the envelope of the sheet's section 1. */
export function one<T extends z.ZodType>(data: T) {
  return z.object({ data, status: z.literal('success'), timestamp: time });
}

const pagination = z.object({
  page: z.int().min(1),
  size: z.int().min(1),
  total: count,
  pages: count,
  has_next: z.boolean(),
  has_prev: z.boolean(),
});

/** A list, in its envelope. */
export function list<T extends z.ZodType>(element: T) {
  return z.object({ data: z.array(element), pagination, status: z.literal('success'), timestamp: time });
}

/** What was done, in words; beside `status` as well. */
export function action<T extends z.ZodRawShape>(shape: T) {
  return one(z.object({ message: z.string(), ...shape })).extend({ message: z.string() });
}

// Clients (sheet, section 6).

const clientName = words(255);
const longText = words(10_000).nullish();

export const createClientBody = z.object({ name: clientName.nullish(), description: longText });
export const changeClientBody = z.object({
  name: clientName.optional(),
  description: longText,
  is_active: flag.optional(),
});
const client = z.object({
  id,
  name: z.string(),
  description: text,
  is_active: z.boolean(),
  created_at: time,
  updated_at: time,
});
const scopedKey = z.object({
  id,
  user_id: id,
  permissions: z.array(z.string()).nullable().describe('Null: all that a user may'),
  is_active: z.boolean(),
  created_at: time,
  updated_at: time,
});
export const clientCreated = client.extend({ master_api_key: z.string().describe('Shown this once') });
export const clientShown = client.extend({ scoped_key: scopedKey.optional().describe('Of the scoped key that asks') });
export const clientChanged = client;

// Users (section 7).

const email = z.email({ error: (issue) => (issue.input === undefined ? 'Field required' : 'Invalid email format') });
const emailField = email.max(254, { error: 'Invalid email format' });
const username = words(255, 1);
const fullName = words(255).nullish();

export const createUserBody = z.object({ email: emailField, username, full_name: fullName });
export const loginBody = z.object({ email: emailField });
export const changeUserBody = z.object({
  email: emailField.optional(),
  username: username.optional(),
  full_name: fullName,
  is_active: flag.optional().describe('With a master key'),
});
const who = { id, email: z.string(), username: z.string(), full_name: text, is_active: z.boolean() };
export const userShown = z.object({ ...who, created_at: time, updated_at: time });
export const userCreated = z.object({
  ...who,
  created_at: time,
  scoped_api_key: z.string().describe('Shown to this request and its repetitions alone'),
  scoped_api_key_is_active: z
    .boolean()
    .optional()
    .describe('False where a repetition finds that the key was replaced or has ended'),
  is_deleted: isDeleted,
});
export const loggedIn = z.object({
  user: z.object(who),
  scoped_api_key: z.string().describe('The one before has stopped working'),
  expires_at: time.nullable().describe('Null: without end'),
});

// Rooms (section 8).

/** Kinds of room as the wire has them. */
export const roomTypes = ['direct', 'group', 'channel', 'support'] as const;
const roomType = z.enum(roomTypes, { error: `Must be one of ${roomTypes.join(', ')}` });
const maxMembers = z.int({ error: 'Must be a whole number' }).min(1, { error: 'Must be 1 or more' });
const maxMembersField = maxMembers.max(2_147_483_647, { error: 'Is too large' }).nullish();
const idField = z.string({ error: (issue) => (issue.input === undefined ? 'Field required' : 'Must be a UUID') });
const settings = {
  name: words(100).nullish(),
  description: longText,
  max_members: maxMembersField,
  meta: meta.nullish(),
};
export const createRoomBody = z.object({ ...settings, room_type: roomType.optional() });
export const changeRoomBody = z.object(settings);
export const joinBody = z.object({
  user_id: idField.optional().describe('With a master key: who joins'),
  user_name: words(255)
    .nullish()
    .describe('With a master key: what the user is called from here on, if it has no `full_name`'),
  meta: meta.nullish(),
});
export const leaveBody = z.object({ user_id: idField.optional().describe('With a master key: who leaves') });
export const addMemberBody = z.object({
  user_id: idField,
  role: z.enum(['owner', 'admin', 'member'], { error: 'Must be one of owner, admin, member' }).optional(),
  meta: meta.nullish(),
});
export const deactivateBody = z.object({ reason: words(255, 1).optional() });
export const roomShown = z
  .object({
    id,
    client_id: id,
    name: text,
    description: text,
    room_type: roomType,
    max_members: z.int().nullable(),
    created_by_user_id: id,
    is_active: z.boolean(),
    meta: anyMeta,
    participant_count: count,
    message_count: count,
    last_message_at: time.nullable(),
    deactivated_reason: text,
    deactivated_at: time.nullable(),
    created_at: time,
    updated_at: time,
  })
  .meta({ id: 'Room' });
export const roomCreated = roomShown.extend({ is_deleted: isDeleted }).meta({ id: 'RoomCreated' });
const participant = z.object({ user_id: id, user_name: z.string(), joined_at: time, meta: anyMeta });
export const participantShown = participant;
const role = z.enum(['owner', 'admin', 'member']);
export const memberShown = participant.extend({ role });
export const roleShown = z.object({ user_id: id, role });
export const joined = action({ room_id: id, ...participant.shape });
export const left = action({ room_id: id, user_id: id, user_name: z.string(), left_at: time });

// Messages (section 9).

const content = words(10_000_000);
const messageType = words(100, 1);
const sendFields = z.object({
  room_id: idField,
  content: content.nullish().describe('May be empty only with `file_url`'),
  message_type: messageType
    .optional()
    .describe('Default `text`; `image`, `file`, `system`, `custom`, or your own word'),
  file_url: words(2_048).nullish(),
  file_name: words(1_024).nullish(),
  file_size: z.number({ error: 'Must be a number' }).min(0, { error: 'Must be 0 or more' }).nullish(),
  file_mime_type: words(255).nullish(),
  reply_to_id: idField.nullish(),
  meta: meta.nullish(),
  sender_id: idField.nullish().describe('With a master key: in whose name'),
  sender_name: words(255).nullish().describe('With a master key: the name that is shown'),
});
const editFields = z.object({ content, meta: meta.nullish() });

/** Bodies of messages whose content has at most so many characters; 0: no limit. */
export function messageBodies(maxContentCharacters: number) {
  // Where it alone is wrong the rules say so, with a code of their own.
  function* tooLong(said: string | null | undefined, wrong: ReadonlySet<string>) {
    const isTooLong = maxContentCharacters > 0 && isLongerThan(said ?? '', maxContentCharacters);
    if (isTooLong && wrong.size > 0) yield contentTooLong;
  }
  return {
    send: judged(sendFields, function* ({ content: said, file_url: url }, wrong) {
      if (!said?.trim() && !url && !wrong.has('file_url'))
        yield { field: 'content', message: 'Content cannot be empty' };
      yield* tooLong(said, wrong);
    }),
    edit: judged(editFields, ({ content: said }, wrong) => tooLong(said, wrong)),
  };
}
export const readBodyOf = z.object({ message_id: idField });
export const messageShown = z
  .object({
    id,
    room_id: id,
    client_id: id,
    sender_id: id,
    sender_name: text,
    content: text.describe('Null of a message that was deleted'),
    message_type: z.string(),
    meta: anyMeta,
    file_url: text,
    file_name: text,
    file_size: z.number().nullable(),
    file_mime_type: text,
    reply_to_id: id.nullable(),
    is_edited: z.boolean(),
    is_deleted: z.boolean(),
    created_at: time,
    updated_at: time,
    edited_at: time.nullable(),
  })
  .meta({ id: 'Message' });
export const markedRead = action({ room_id: id, message_id: id });

/** Checks a body. Throws 422 with one entry per wrong field; no body at all counts as an empty one. */
export function readBody<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const body = value === undefined ? {} : value;
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw invalidField('body', 'Must be a JSON object');
  return readValue(schema, body);
}

/** The same for any JSON value. */
export function readValue<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems = new Map<string, FieldProblem>();
  for (const { path, message } of result.error.issues) {
    const field = path.length === 0 ? 'body' : path.map(String).join('.');
    if (!problems.has(field)) problems.set(field, { field, message });
  }
  throw invalid(...problems.values());
}
