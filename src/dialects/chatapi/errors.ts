import type { FastifyReply, FastifyRequest } from 'fastify';
import { DomainError, type ErrorCode, problemsIn } from '../../commands/index.ts';
import { iso } from '../../platform/clock.ts';
import { clientFault, isStorageAway, secondsUntil, sendRefusal } from '../faults.ts';

/** Machine codes of the dialect and the status each goes with (sheet, section 3). */
export const statusOf = {
  INVALID_CREDENTIALS: 401,
  KEY_EXPIRED: 401,
  INSUFFICIENT_PERMISSIONS: 403,
  RESOURCE_NOT_FOUND: 404,
  VALIDATION_ERROR: 422,
  /** With 413 a body that is too large, with 415 one of another media type. */
  BAD_REQUEST: 400,
  ROOM_INACTIVE: 400,
  ALREADY_IN_ROOM: 400,
  ROOM_FULL: 400,
  CONTENT_TOO_LONG: 422,
  RATE_LIMIT_EXCEEDED: 429,
  INTERNAL_ERROR: 500,
  /** Storage is away, or the process drains: the design's, the sheet has no word for it. */
  SERVICE_UNAVAILABLE: 503,
} as const;

/** A machine code of the dialect. */
export type WireCode = keyof typeof statusOf;

/** One field that is wrong, and how (`errors`). */
export interface FieldProblem {
  readonly field: string;
  readonly message: string;
}

/** What every error answer looks like. */
export interface ErrorBody {
  readonly detail: string;
  readonly error_code: WireCode;
  readonly status_code: number;
  readonly timestamp: string;
  readonly errors?: readonly FieldProblem[];
}

interface More {
  readonly status?: number;
  readonly errors?: readonly FieldProblem[];
  readonly headers?: Readonly<Record<string, string>>;
}

/** A refusal in the dialect's own words. */
export class WireError extends Error {
  readonly code: WireCode;
  readonly status: number;
  readonly errors: readonly FieldProblem[] | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: WireCode, message: string, { status = statusOf[code], errors, headers = {} }: More = {}) {
    super(message);
    this.name = 'WireError';
    this.code = code;
    this.status = status;
    this.errors = errors;
    this.headers = headers;
  }
}

/** The body of a refusal. */
export function errorBody(code: WireCode, detail: string, status: number, now: number): ErrorBody {
  return { detail, error_code: code, status_code: status, timestamp: iso(now) };
}

/** 422 with the fields it is about. */
export function invalid(...errors: FieldProblem[]): WireError {
  return new WireError('VALIDATION_ERROR', 'Validation error in request data', { errors });
}

/** One wrong field. */
export function invalidField(field: string, message: string): WireError {
  return invalid({ field, message });
}

/** What is wrong with the content of a message that is too long. */
export const contentTooLong: FieldProblem = { field: 'content', message: 'Content is too long' };

/** No such thing, for this caller; `what` begins the sentence. */
export function notFound(what = 'Resource'): WireError {
  return new WireError('RESOURCE_NOT_FOUND', `${what} not found`);
}

/** A route that the key may not use. */
export function forbidden(text = 'The key does not allow this'): WireError {
  return new WireError('INSUFFICIENT_PERMISSIONS', text);
}

/** Over a limit; `resetAt` in milliseconds since the epoch. */
export function tooMany(resetAt: number, now: number): WireError {
  return new WireError('RATE_LIMIT_EXCEEDED', 'Rate limit exceeded', {
    headers: { 'retry-after': secondsUntil(resetAt, now) },
  });
}

/** No route of this dialect leads there: such a refusal here is a defect. */
const defect: readonly [WireCode, string] = ['INTERNAL_ERROR', 'Internal server error'];

const domainCodes: Readonly<Record<ErrorCode, readonly [WireCode, string]>> = {
  'not-found': ['RESOURCE_NOT_FOUND', 'Resource not found'],
  'already-exists': defect,
  'identifier-taken': ['VALIDATION_ERROR', 'Validation error in request data'],
  'credentials-wrong': ['INVALID_CREDENTIALS', 'Invalid credentials'],
  'credential-missing': ['INVALID_CREDENTIALS', 'No API key was given'],
  'credential-invalid': ['INVALID_CREDENTIALS', 'Invalid API key'],
  'credential-expired': ['KEY_EXPIRED', 'The API key has expired'],
  'session-ended': defect,
  'token-reused': defect,
  'access-denied': ['INSUFFICIENT_PERMISSIONS', 'The key does not allow this'],
  'connector-not-found': defect,
  'connector-inactive': defect,
  'template-not-found': defect,
  'recipient-malformed': defect,
  'account-inactive': ['INVALID_CREDENTIALS', 'The user is inactive'],
  'code-wrong': defect,
  'not-a-member': ['INSUFFICIENT_PERMISSIONS', 'Not a member of this room'],
  'already-member': ['ALREADY_IN_ROOM', 'The user is a member of this room already'],
  'role-required': ['INSUFFICIENT_PERMISSIONS', 'Only owners and admins of the room may do this'],
  'join-closed': ['INSUFFICIENT_PERMISSIONS', 'This room cannot be joined by its id'],
  'room-full': ['ROOM_FULL', 'The room has as many members as it may'],
  'room-inactive': ['ROOM_INACTIVE', 'The room is not active'],
  'room-deleted': ['ROOM_INACTIVE', 'The room is closed'],
  'last-admin': ['BAD_REQUEST', 'The room would be left without an owner or admin'],
  'reply-not-found': ['RESOURCE_NOT_FOUND', 'The message to reply to was not found'],
  'not-the-sender': ['INSUFFICIENT_PERMISSIONS', "The message is somebody else's"],
  'not-editable': ['BAD_REQUEST', 'A message of this type cannot be edited'],
  'content-empty': ['VALIDATION_ERROR', 'Validation error in request data'],
  'content-too-long': ['CONTENT_TOO_LONG', 'Validation error in request data'],
  'value-invalid': ['VALIDATION_ERROR', 'Validation error in request data'],
  'replays-under-way': ['BAD_REQUEST', 'As many replays of this webhook are under way as may be'],
  'wrong-state': ['BAD_REQUEST', 'The state of the resource does not allow this'],
  'rate-limited': ['RATE_LIMIT_EXCEEDED', 'Rate limit exceeded'],
  'quota-exceeded': defect,
  'too-large': ['BAD_REQUEST', 'The request is too large to be stored'],
  unavailable: ['SERVICE_UNAVAILABLE', 'Service temporarily unavailable'],
};

/** A refusal of the rules, in the dialect's words. */
function domainError(error: DomainError, now: number): WireError {
  const [code, text] = domainCodes[error.code];
  switch (error.code) {
    case 'identifier-taken':
      return invalid(...takenFields(error));
    case 'content-empty':
      return invalidField('content', 'Content cannot be empty');
    case 'content-too-long':
      return new WireError(code, text, { errors: [contentTooLong] });
    case 'value-invalid':
      return invalid(...problemsIn(error).map(({ field, message }) => ({ field: fieldName(field), message })));
    case 'wrong-state':
      return new WireError(code, error.message);
    case 'too-large':
      return new WireError(code, text, { status: 413 });
    case 'unavailable':
      return unavailable(error.retryAt, now);
    case 'rate-limited':
      return tooMany(error.retryAt ?? now, now);
    default:
      return new WireError(code, text);
  }
}

/** One entry per field that somebody else has. */
function takenFields({ details }: DomainError): FieldProblem[] {
  const fields = Array.isArray(details?.fields) ? details.fields : [];
  return fields.map((field) => ({
    field,
    message: field === 'email' ? 'Email already exists' : 'Username already exists',
  }));
}

/** The rules' names of fields, as the wire has them. */
function fieldName(field: string): string {
  return field === 'account' ? 'user_id' : field;
}

/** The same request can be tried again at `retryAt`, a second from now unless told. */
export function unavailable(retryAt = 0, now = 0): WireError {
  const headers = { 'retry-after': secondsUntil(retryAt, now) };
  return new WireError('SERVICE_UNAVAILABLE', 'Service temporarily unavailable', { headers });
}

/** Fastify's own refusals: a body that is too large, of no known type, or not what its length says. */
function frameworkError(error: unknown): WireError | null {
  const status = clientFault(error);
  if (status === null) return null;
  const texts: Readonly<Record<number, string>> = {
    413: 'The body is too large',
    415: 'The content type is not supported: send application/json',
  };
  return new WireError('BAD_REQUEST', texts[status] ?? 'The request is malformed', { status });
}

/** Any error as the dialect answers it. Internals never show. */
export function wireError(error: unknown, now: number): WireError {
  if (error instanceof WireError) return error;
  if (error instanceof DomainError) return domainError(error, now);
  if (isStorageAway(error)) return unavailable();
  return frameworkError(error) ?? new WireError('INTERNAL_ERROR', 'Internal server error');
}

/** The dialect's error handler. */
export function errorHandler(clock: { now(): number }) {
  return (error: unknown, _request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const now = clock.now();
    const refusal = wireError(error, now);
    const { code, message, status, errors } = refusal;
    const body = errorBody(code, message, status, now);
    return sendRefusal(reply, refusal, errors === undefined ? body : { ...body, errors });
  };
}
