import { STATUS_CODES } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { DomainError, type ErrorCode } from '../../commands/index.ts';
import { clientFault, isStorageAway, secondsUntil, sendRefusal } from '../faults.ts';

/** A refusal in the dialect's own words (sheet, section 4): its bodies have no common shape, and keep it so. */
export class WireError extends Error {
  readonly status: number;
  readonly body: object;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, body: object, headers: Readonly<Record<string, string>> = {}) {
    super(JSON.stringify(body));
    this.name = 'WireError';
    this.status = status;
    this.body = body;
    this.headers = headers;
  }
}

/** Why a token does not do; `unauthorized`: it does, but not for this. */
export type TokenProblem = 'unauthenticated' | 'invalid_token' | 'token_expired' | 'unauthorized';

/** 401 for what a token does not open. */
export function tokenError(message: TokenProblem): WireError {
  return new WireError(401, { message });
}

/** 401 of a login. */
export function wrongLogin(): WireError {
  return new WireError(401, { data: 'No user with these credentials' });
}

/** 422 for fields, each with what is wrong about it. */
export function fieldErrors(errors: Readonly<Record<string, readonly string[]>>): WireError {
  return new WireError(422, { errors });
}

/** 422 for a conversation that cannot be. */
export function cannotCreate(): WireError {
  return new WireError(422, { error: "Can't create" });
}

/** The body of what the sheet has no words for, in the shape of the framework's error view. */
export function detailBody(status: number): { errors: { detail: string } } {
  return { errors: { detail: STATUS_CODES[status] ?? 'Error' } };
}

/** Any other refusal. */
export function detail(status: number, headers: Readonly<Record<string, string>> = {}): WireError {
  return new WireError(status, detailBody(status), headers);
}

/** Storage is away, or behind: the same request can be tried again after so many seconds. */
export function unavailable(retryAfterSeconds = 1): WireError {
  return detail(503, { 'retry-after': String(retryAfterSeconds) });
}

const domainErrors: Partial<Readonly<Record<ErrorCode, () => WireError>>> = {
  'not-found': () => detail(404),
  'identifier-taken': () => fieldErrors({ email: ['has already been taken'] }),
  'credentials-wrong': wrongLogin,
  'credential-missing': () => tokenError('unauthenticated'),
  'credential-invalid': () => tokenError('invalid_token'),
  'credential-expired': () => tokenError('token_expired'),
  'session-ended': () => tokenError('invalid_token'),
  'account-inactive': () => tokenError('invalid_token'),
  'access-denied': () => tokenError('unauthorized'),
  'too-large': () => detail(413),
};

/** Any error as the dialect answers it. Internals never show. */
export function wireError(error: unknown, now: number): WireError {
  if (error instanceof WireError) return error;
  if (error instanceof DomainError) {
    if (error.code === 'unavailable') return unavailable(Number(secondsUntil(error.retryAt ?? 0, now)));
    return domainErrors[error.code]?.() ?? detail(500);
  }
  return isStorageAway(error) ? unavailable() : detail(clientFault(error) ?? 500);
}

/** The dialect's error handler. */
export function errorHandler(clock: { now(): number }) {
  return (error: unknown, _request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const refusal = wireError(error, clock.now());
    return sendRefusal(reply, refusal, refusal.body);
  };
}
