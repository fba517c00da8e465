/** The shapes on the wire: zod schemas for the document, and the checks that words of section 4 of the sheet ask for. */

import { z } from 'zod';
import {
  type AccountState,
  type ImageKind,
  type ImageName,
  imageKindOf,
  imageTypes,
  type RoomState,
} from '../../commands/index.ts';
import { iso } from '../../platform/clock.ts';
import type { FormPart } from '../multipart.ts';
import { detail, fieldErrors } from './errors.ts';

const id = z.int().min(1);
/** What a number of a request may be: itself, or its digits. */
const givenId = z.union([id, z.string().regex(/^\d{1,10}$/)]);

export const user = z
  .object({
    id,
    name: z.string(),
    subname: z.string(),
    email: z.string(),
    job: z.string(),
    password: z.string().describe('In clear only where the request itself carried or made it; `********` elsewhere'),
  })
  .meta({ id: 'User' });
export const users = z.array(user);

const password = z.string().min(6).max(1_024);

export const registerBody = z.object({
  user: z.object({
    name: z.string().min(1).max(255),
    subname: z.string().min(1).max(255),
    email: z
      .string()
      .max(254)
      .regex(/^[^\s@]+@[^\s@]+\.[^\s@]+$/),
    job: z.string().min(1).max(255),
    password: password.nullish().describe('Made up when absent'),
  }),
});
export const loginBody = z.object({ creds: z.object({ email: z.string(), password: z.string() }) });
export const loggedIn = z.object({
  data: z.object({ user, token: z.string(), expire: z.int().describe('Seconds since the epoch') }),
});
export const loggedOut = z.object({ data: z.literal('Success logout') });
export const passwordBody = z.object({ password });
export const newPassword = z.string().describe('The new password');

/** Kinds of images by media type, as they come and go. */
const imageBytes = z.file().describe('A PNG, JPEG, GIF or WebP image, told by its first bytes');
export const uploadBody = { content: { 'multipart/form-data': { schema: z.object({ image: imageBytes }) } } };
export const uploaded = z.object({
  image: z.object({
    file_name: z.string().describe('Where it is shown: `/api/uploads/<file_name>`'),
    updated_at: z.string().meta({ example: '2018-03-05T10:20:30.123456', description: 'UTC, microseconds, no zone' }),
  }),
});
export const shownImage = {
  description: 'The image',
  content: Object.fromEntries(Object.values(imageTypes).map((type) => [type, { schema: imageBytes }])),
};

export const conversationBody = z.object({
  recipient: givenId.optional(),
  recipient_id: givenId.optional().describe('Another name of `recipient`'),
});
export const conversation = z
  .object({ id, status: z.null(), sender_id: z.int(), recipient_id: z.int() })
  .meta({ id: 'Conversation' });
export const conversations = z.array(conversation);

export const messagesQuery = z.object({
  conv: z.string().optional().describe('Id of a conversation'),
  conv_id: z.string().optional().describe('Another name of `conv`'),
});
export const message = z
  .object({
    content: z.string(),
    date: z
      .string()
      .nullable()
      .meta({ example: '2018-03-05T10:20:30.123456', description: 'UTC, microseconds, no zone' }),
    conversation_id: id,
    sender_id: z.int(),
    conversation: id,
    sender: z.int(),
  })
  .meta({ id: 'Message' });
export const messages = z.array(message);

// Errors (section 4).

export const tokenRefused = z
  .object({ message: z.enum(['unauthenticated', 'invalid_token', 'token_expired', 'unauthorized']) })
  .meta({ id: 'TokenRefused' });
export const loginRefused = z
  .object({ data: z.literal('No user with these credentials') })
  .meta({ id: 'LoginRefused' });
export const fieldsRefused = z
  .object({ errors: z.record(z.string(), z.array(z.string())) })
  .meta({ id: 'FieldsRefused' });
export const conversationRefused = z.union([fieldsRefused, z.object({ error: z.literal("Can't create") })]);
export const refused = z.object({ errors: z.object({ detail: z.string() }) }).meta({ id: 'Refused' });

// What comes in.

const blank = "can't be blank";
const invalid = 'is invalid';
const largestId = 2_147_483_647;

/** A JSON object; empty for anything else. */
export function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

/** Whether a text can be kept: no NUL, no half of a surrogate pair. */
export function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

/** The id that a value names, null for none that can be. */
export function readId(value: unknown): number | null {
  const number = typeof value === 'string' && /^\d{1,10}$/.test(value) ? Number(value) : value;
  return Number.isInteger(number) && (number as number) >= 1 && (number as number) <= largestId
    ? (number as number)
    : null;
}

/** What a request's wrapper holds. Throws 422 when it is not there, or no object. */
export function wrapped(body: unknown, key: string): Readonly<Record<string, unknown>> {
  const value = required(body, key);
  if (typeof value !== 'object' || Array.isArray(value)) throw fieldErrors({ [key]: [invalid] });
  return value as Record<string, unknown>;
}

/** A value that has to be there. Throws 422. */
export function required(body: unknown, ...keys: readonly [string, ...string[]]): NonNullable<unknown> {
  const fields = objectOf(body);
  const value = keys.map((key) => fields[key]).find((each) => each !== undefined && each !== null);
  if (value === undefined || value === null || value === '') throw fieldErrors({ [keys[0]]: [blank] });
  return value;
}

function problemsOfText(value: unknown, maxCharacters: number, format?: RegExp): string[] {
  if (value === undefined || value === null) return [blank];
  if (typeof value !== 'string' || !isStorable(value)) return [invalid];
  if (value.trim() === '') return [blank];
  const problems: string[] = [];
  if (format && !format.test(value)) problems.push('has invalid format');
  if ([...value].length > maxCharacters) problems.push(`should be at most ${maxCharacters} character(s)`);
  return problems;
}

/** What is wrong about a password; nothing when it will do (section 3). */
export function problemsOfPassword(value: unknown): string[] {
  if (typeof value !== 'string' || !value.isWellFormed()) return [invalid];
  const characters = [...value].length;
  if (characters < 6) return ['should be at least 6 character(s)'];
  return characters > 1_024 ? ['should be at most 1024 character(s)'] : [];
}

/** Who registers. */
export interface Registration {
  readonly name: string;
  readonly subname: string;
  readonly email: string;
  readonly job: string;
  readonly password?: string;
}

/** Reads a registration. Throws 422 with everything that is wrong about it. */
export function readRegistration(body: unknown): Registration {
  const given = wrapped(body, 'user');
  const problems: Record<string, string[]> = {
    name: problemsOfText(given.name, 255),
    subname: problemsOfText(given.subname, 255),
    email: problemsOfText(given.email, 254, /^[^\s@]+@[^\s@]+\.[^\s@]+$/),
    job: problemsOfText(given.job, 255),
    password: given.password === undefined || given.password === null ? [] : problemsOfPassword(given.password),
  };
  const wrong = Object.entries(problems).filter(([, texts]) => texts.length > 0);
  if (wrong.length > 0) throw fieldErrors(Object.fromEntries(wrong));
  const { name, subname, email, job, password: chosen } = given as unknown as Registration;
  return { name, subname, email, job, ...(typeof chosen === 'string' && { password: chosen }) };
}

/**
 * The image of a form. Throws 422 when there is none, it is empty, there are several, or it is no image of a kind that is
 * taken; 413 when it is too large.
 */
export function readImage(form: readonly FormPart[], maxBytes: number): { kind: ImageKind; bytes: Buffer } {
  const [image, ...more] = form.filter(({ name }) => name === 'image');
  if (image === undefined || image.bytes.length === 0) throw fieldErrors({ image: [blank] });
  if (image.bytes.length > maxBytes) throw detail(413);
  const kind = imageKindOf(image.bytes);
  if (more.length > 0 || !image.isFile || kind === null) throw fieldErrors({ image: [invalid] });
  return { kind, bytes: image.bytes };
}

/** What `fileName` spelled; null for what names no image. */
export function readFileName(text: string): ImageName | null {
  const [, digest, kind] = /^([0-9a-f]{64})\.([a-z]+)$/.exec(text) ?? [];
  return digest === undefined || kind === undefined || !Object.hasOwn(imageTypes, kind)
    ? null
    : { digest, kind: kind as ImageKind };
}

/** The name of an image. */
export function fileName({ digest, kind }: ImageName): string {
  return `${digest}.${kind}`;
}

/** The errors of a user of whom nothing is known. */
export function emptyUser() {
  return fieldErrors({ email: [blank], job: [blank], name: [blank], subname: [blank] });
}

// What goes out.

/** Stands for every password but the one that the request itself carried or made. */
export const hiddenPassword = '********';

type Named = Pick<AccountState, 'email' | 'displayName' | 'givenName' | 'familyName' | 'job'>;

/**
 * A user; what accounts of other dialects lack is empty, and a name in one piece stands for the given one (section 6): also
 * where a user was given it later, through another dialect.
 */
export function userOf(account: number, of: Named, shownPassword: string): z.output<typeof user> {
  return {
    id: account,
    name: of.displayName ?? of.givenName ?? '',
    subname: of.displayName === null ? (of.familyName ?? '') : '',
    email: of.email ?? '',
    job: of.job ?? '',
    password: shownPassword,
  };
}

/** A conversation, by who started it and its members, those of today first. */
export function conversationOf(
  room: number,
  creator: number,
  members: readonly number[],
): z.output<typeof conversation> {
  const sender = members.includes(creator) ? creator : (members[0] ?? creator);
  const recipient = members.find((account) => account !== sender) ?? sender;
  return { id: room, status: null, sender_id: sender, recipient_id: recipient };
}

/** A time in milliseconds since the epoch, as dates are written: UTC, microseconds, no zone (section 3). */
export function dateOf(ms: number): string {
  return iso(ms).replace('Z', '000');
}

/** A message, by the time it was posted: milliseconds since the epoch. */
export function messageOf(room: number, sender: number, content: string, postedAt: number): z.output<typeof message> {
  return { content, date: dateOf(postedAt), conversation_id: room, sender_id: sender, conversation: room, sender };
}

/** Whom a message of an account in a conversation is for; null where the account may not post, or nobody is there. */
export function recipientIn(room: RoomState, account: number): number | null {
  const members = room.members.map((member) => member.account);
  if (!room.exists || room.deleted || room.kind !== 'private' || !members.includes(account)) return null;
  return isAlone(room) ? account : (members.find((each) => each !== account) ?? null);
}

/** Whether somebody talks to oneself: nobody else gets in. */
export function isAlone({ maxMembers }: Pick<RoomState, 'maxMembers'>): boolean {
  return maxMembers === 1;
}
