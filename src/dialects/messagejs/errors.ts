import type { FastifyReply, FastifyRequest } from 'fastify';
import { DomainError, type ErrorCode } from '../../commands/index.ts';
import { iso } from '../../platform/clock.ts';
import { clientFault, isStorageAway, secondsUntil, sendRefusal, whereFound } from '../faults.ts';

/** Machine codes of the dialect and the status each goes with (sheet, section 3). */
export const statusOf = {
  INVALID_TOKEN: 401,
  TOKEN_EXPIRED: 401,
  MISSING_API_KEY: 401,
  INVALID_API_KEY: 401,
  API_KEY_EXPIRED: 401,
  /** At login; with 400 instead for the credentials of a connector. */
  INVALID_CREDENTIALS: 401,
  INVALID_EMAIL: 400,
  INVALID_PHONE: 400,
  INVALID_TO: 400,
  MISSING_REQUIRED_FIELD: 400,
  INVALID_CONNECTOR_TYPE: 400,
  CONNECTOR_NOT_ACTIVE: 400,
  INVALID_INPUT: 400,
  ACCESS_DENIED: 403,
  NOT_FOUND: 404,
  PROJECT_NOT_FOUND: 404,
  CONNECTOR_NOT_FOUND: 404,
  TEMPLATE_NOT_FOUND: 404,
  MESSAGE_NOT_FOUND: 404,
  API_KEY_NOT_FOUND: 404,
  USER_EXISTS: 409,
  RATE_LIMIT_EXCEEDED: 429,
  QUOTA_EXCEEDED: 429,
  CONNECTOR_ERROR: 500,
  INTERNAL_ERROR: 500,
  THIRD_PARTY_ERROR: 502,
  SERVICE_UNAVAILABLE: 503,
} as const;

/** A machine code of the dialect. */
export type WireCode = keyof typeof statusOf;

/** One field that is wrong, and how (`details.fields`). */
export interface FieldProblem {
  readonly path: string;
  readonly message: string;
}

/** What every error answer looks like. */
export interface ErrorBody {
  readonly error: string;
  readonly code: WireCode;
  readonly details?: Readonly<Record<string, unknown>>;
}

interface More {
  readonly status?: number;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A refusal in the dialect's own words. */
export class WireError extends Error {
  readonly code: WireCode;
  readonly status: number;
  readonly details: Readonly<Record<string, unknown>> | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: WireCode, message: string, { status = statusOf[code], details, headers = {} }: More = {}) {
    super(message);
    this.name = 'WireError';
    this.code = code;
    this.status = status;
    this.details = details;
    this.headers = headers;
  }

  get body(): ErrorBody {
    const { message: error, code, details } = this;
    return details === undefined ? { error, code } : { error, code, details };
  }
}

/** `INVALID_INPUT`, `MISSING_REQUIRED_FIELD` and the like, with the fields it is about. */
export function invalid(code: WireCode, message: string, ...fields: FieldProblem[]): WireError {
  return new WireError(code, message, fields.length === 0 ? {} : { details: { fields } });
}

/** One wrong field. */
export function invalidField(path: string, message: string, code: WireCode = 'INVALID_INPUT'): WireError {
  return invalid(code, `${path}: ${message}`, { path, message });
}

/** Over a limit; `resetAt` in milliseconds since the epoch. The reset header is an ISO time (sheet, section 15). */
export function tooMany(
  code: 'RATE_LIMIT_EXCEEDED' | 'QUOTA_EXCEEDED',
  { limit, resetAt, now }: { limit: number | null; resetAt: number; now: number },
): WireError {
  const what = code === 'QUOTA_EXCEEDED' ? 'Monthly quota exceeded' : 'Rate limit exceeded';
  const reset = iso(resetAt);
  return new WireError(code, what, {
    details: { resetAt: reset },
    headers: {
      'retry-after': secondsUntil(resetAt, now),
      'x-ratelimit-remaining': '0',
      'x-ratelimit-reset': reset,
      ...(limit !== null && { 'x-ratelimit-limit': String(limit) }),
    },
  });
}

/** No route of this dialect leads to the chat core: one of its refusals here is a defect. */
const ofChat: readonly [WireCode, string] = ['INTERNAL_ERROR', 'Internal server error'];

const domainCodes: Readonly<Record<ErrorCode, readonly [WireCode, string]>> = {
  'not-found': ['NOT_FOUND', 'Not found'],
  'already-exists': ['INTERNAL_ERROR', 'Internal server error'],
  'identifier-taken': ['USER_EXISTS', 'A user with this email exists already'],
  'credentials-wrong': ['INVALID_CREDENTIALS', 'Invalid email or password'],
  'credential-missing': ['INVALID_TOKEN', 'No token was given'],
  'credential-invalid': ['INVALID_TOKEN', 'Invalid token'],
  'credential-expired': ['TOKEN_EXPIRED', 'The token has expired'],
  'session-ended': ['INVALID_TOKEN', 'The session has ended'],
  'token-reused': ['INVALID_TOKEN', 'The refresh token was used before; the session has ended'],
  'access-denied': ['ACCESS_DENIED', 'You do not have access to this resource'],
  'connector-not-found': ['CONNECTOR_NOT_FOUND', 'Connector not found'],
  'connector-inactive': ['CONNECTOR_NOT_ACTIVE', 'The connector is not active'],
  'template-not-found': ['TEMPLATE_NOT_FOUND', 'Template not found'],
  'recipient-malformed': ['INVALID_TO', 'Invalid recipient'],
  'account-inactive': ['INVALID_TOKEN', 'The account is inactive'],
  'code-wrong': ofChat,
  'not-a-member': ofChat,
  'already-member': ofChat,
  'role-required': ofChat,
  'join-closed': ofChat,
  'room-full': ofChat,
  'room-inactive': ofChat,
  'room-deleted': ofChat,
  'last-admin': ofChat,
  'reply-not-found': ofChat,
  'not-the-sender': ofChat,
  'not-editable': ofChat,
  'content-empty': ofChat,
  'content-too-long': ofChat,
  'value-invalid': ofChat,
  'replays-under-way': ofChat,
  'wrong-state': ofChat,
  'rate-limited': ['RATE_LIMIT_EXCEEDED', 'Rate limit exceeded'],
  'quota-exceeded': ['QUOTA_EXCEEDED', 'Monthly quota exceeded'],
  'too-large': ['INVALID_INPUT', 'The text, rendered, is too long'],
  unavailable: ['SERVICE_UNAVAILABLE', 'Service temporarily unavailable'],
};

/** A refusal of the rules, in the dialect's words. */
export function domainError(error: DomainError, now: number): WireError {
  const [code, text] = domainCodes[error.code];
  if (code === 'QUOTA_EXCEEDED' || code === 'RATE_LIMIT_EXCEEDED') {
    const limit = typeof error.details?.limit === 'number' ? error.details.limit : null;
    return tooMany(code, { limit, resetAt: error.retryAt ?? now, now });
  }
  if (code === 'SERVICE_UNAVAILABLE') return unavailable(error.retryAt, now);
  // What is wrong with a recipient depends on the kind of connector, and the rules say it.
  return new WireError(code, error.code === 'recipient-malformed' ? error.message : text);
}

/** The same request can be tried again at `retryAt`, a second from now unless told. */
function unavailable(retryAt = 0, now = 0): WireError {
  const headers = { 'retry-after': secondsUntil(retryAt, now) };
  return new WireError('SERVICE_UNAVAILABLE', 'Service temporarily unavailable', { headers });
}

/** Fastify's own refusals: a body that is too large, of no known type, or not what its length says. */
function frameworkError(error: unknown): WireError | null {
  const status = clientFault(error);
  if (status === null) return null;
  const { code } = error as { code?: unknown };
  const text =
    status === 413
      ? 'The body is too large'
      : status === 415
        ? 'The content type is not supported'
        : typeof code === 'string' && code.startsWith('FST_')
          ? 'The body is malformed'
          : 'The request is malformed';
  return new WireError('INVALID_INPUT', text, { status });
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
    const refusal = wireError(error, clock.now());
    return sendRefusal(reply, refusal, refusal.body);
  };
}

/** `work`'s answer; where it finds nothing, this code. */
export function orNotFound<T>(code: WireCode, text: string, work: Promise<T>): Promise<T> {
  return whereFound(work, () => new WireError(code, text));
}
