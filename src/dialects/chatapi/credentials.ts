import type { FastifyReply, FastifyRequest } from 'fastify';
import {
  type Actor,
  type AuthenticatedMaster,
  type AuthenticatedUser,
  DomainError,
  type RateTaken,
  SERVICE_ACCOUNT,
} from '../../commands/index.ts';
import { forbidden, tooMany, WireError } from './errors.ts';
import type { ChatApiOptions } from './options.ts';
import { positionAsked } from './reading.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks, on routes that take a key. */
    chatapiCaller: Caller | null;
  }
}

/** Who asks. */
export interface Caller {
  readonly actor: Actor;
  readonly workspace: number;
  /** 0 for a master key. */
  readonly account: number;
  readonly isMaster: boolean;
  /** What `X-Parley-Position` asks for. */
  readonly atLeast: bigint | undefined;
}

/** Who may call a route, and by which group of the sheet's section 4 it is limited. */
export interface Access {
  readonly who: 'any' | 'master';
  readonly limit?: 'messages' | 'notifications' | 'login';
}

/** Hours are fixed windows from the first request on. */
const hourMs = 3_600_000;

/** The key of a request: the bearer credential, or `X-API-Key` where there is none. Null without one. */
export function presentedKey(headers: FastifyRequest['headers']): string | null {
  const { authorization = '' } = headers;
  // The scheme is compared without case (RFC 9110, section 11.1).
  const bearer = /^bearer\s+(\S+)\s*$/i.exec(authorization)?.[1];
  const apiKey = headers['x-api-key'];
  return bearer ?? (typeof apiKey === 'string' && apiKey.trim() !== '' ? apiKey.trim() : null);
}

/** The account that a key acts as. Throws `credential-invalid`, `credential-expired`, `account-inactive`. */
export function authenticate(
  { clients, people }: Pick<ChatApiOptions, 'clients' | 'people'>,
  key: string,
): AuthenticatedMaster | AuthenticatedUser | Promise<AuthenticatedMaster | AuthenticatedUser> {
  if (key.startsWith('ck_live_')) return clients.authenticateMasterKey(key);
  if (key.startsWith('sk_user_')) return people.authenticateScopedKey(key);
  throw new DomainError('credential-invalid');
}

/** The hook of routes that take a key: who asks, then a point of the limit, then whether the key may. */
export function keyGuard(options: ChatApiOptions, dialect: string, { who, limit }: Access) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const found = await identified(options, request).catch((error: unknown) => {
      // Whoever is not known has used up nothing.
      if (limit) tellLimit(options, reply, { limit: limitOf(options.config, limit) });
      throw error;
    });
    const { workspace, account } = found;
    // A user's key that took the place of another goes on with its counter.
    const counter = 'key' in found ? `key${found.key}` : `user${account}`;
    const isMaster = account === SERVICE_ACCOUNT;
    const allowed = who === 'any' || isMaster;
    // Who may not call a route uses up nothing of it.
    if (limit) {
      const scope = limit === 'login' ? `chatapi:login:${workspace}` : `chatapi:${limit}:${workspace}:${counter}`;
      await takePoint(options, reply, { scope, limit: limitOf(options.config, limit) }, allowed ? 1 : 0);
    }
    if (!allowed) throw forbidden();
    const atLeast = await positionAsked(options.freshness, request);
    const { trace } = request;
    const actor = { workspace, account, dialect, ...(trace !== undefined && { trace }) };
    request.chatapiCaller = { actor, workspace, account, isMaster, atLeast };
  };
}

/** Who asks. Throws as `authenticate`, and `INVALID_CREDENTIALS` without a key. */
async function identified(options: ChatApiOptions, request: FastifyRequest) {
  const key = presentedKey(request.headers);
  if (key === null) throw new WireError('INVALID_CREDENTIALS', 'No API key was given');
  return authenticate(options, key);
}

function limitOf(config: ChatApiOptions['config'], limit: NonNullable<Access['limit']>): number {
  if (limit === 'login') return config.authPerHour;
  return limit === 'messages' ? config.messagesPerHour : config.notificationsPerHour;
}

/** Takes a point of a limit and tells how it stands (sheet, section 4). Throws `RATE_LIMIT_EXCEEDED`. */
export async function takePoint(
  { limiter, clock }: Pick<ChatApiOptions, 'limiter' | 'clock'>,
  reply: FastifyReply,
  of: { readonly scope: string; readonly limit: number },
  points = 1,
): Promise<void> {
  const taken: RateTaken = await limiter.take({ ...of, windowMs: hourMs }, points);
  const resetAt = tellLimit({ clock }, reply, taken);
  if (taken.granted < points) throw tooMany(resetAt, clock.now());
}

/** Tells how a limit stands, if there is one; untouched when nothing was taken of it. Answers when its window ends, milliseconds since the epoch. */
function tellLimit(
  { clock }: Pick<ChatApiOptions, 'clock'>,
  reply: FastifyReply,
  { limit, remaining = limit, resetAt = 0 }: Pick<RateTaken, 'limit'> & Partial<RateTaken>,
): number {
  // A window begins with its first point.
  const endsAt = resetAt === 0 ? clock.now() + hourMs : resetAt;
  if (limit > 0) {
    reply
      .header('x-ratelimit-limit', String(limit))
      .header('x-ratelimit-remaining', String(Math.max(0, remaining)))
      .header('x-ratelimit-reset', String(Math.ceil(endsAt / 1_000)));
  }
  return endsAt;
}

/** Who asks; on a route behind `keyGuard`. */
export function callerOf(request: FastifyRequest): Caller {
  const caller = request.chatapiCaller;
  if (caller === null) throw new Error('a route without its guard');
  return caller;
}
