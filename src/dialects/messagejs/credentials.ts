import type { FastifyReply, FastifyRequest } from 'fastify';
import { errors as joseErrors, jwtVerify, SignJWT } from 'jose';
import { ACCOUNTS_WORKSPACE, type Actor, DomainError, type RateTaken } from '../../commands/index.ts';
import type { Clock } from '../../platform/clock.ts';
import { tooMany, WireError } from './errors.ts';
import type { MessageJsConfig, MessageJsOptions } from './options.ts';
import { positionAsked } from './reading.ts';
import { iso } from './routes.ts';
import type { Spelling } from './spelling.ts';

/** Who asks, on dashboard routes. */
export interface DashboardUser {
  readonly account: number;
  readonly session: string;
  readonly actor: Actor;
  /** What `X-Parley-Position` asks for. */
  readonly atLeast: bigint | undefined;
}

/** What a JWT says (sheet, section 2); `userId` read. */
export interface TokenClaims {
  readonly account: number;
  readonly session: string;
}

/** The bearer credential of an `Authorization` header; null without one. */
export function bearerOf(header: string | undefined): string | null {
  if (header === undefined) return null;
  // The scheme is compared without case (RFC 9110, section 11.1).
  if (!header.startsWith('Bearer ') && !/^bearer /i.test(header)) return null;
  const credential = header.slice(7).trim();
  return credential === '' ? null : credential;
}

/** The value of a cookie in a `Cookie` header. */
export function cookieOf(header: string | undefined, name: string): string | null {
  if (header === undefined) return null;
  for (const pair of header.split(';')) {
    const at = pair.indexOf('=');
    if (at > 0 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim() || null;
  }
  return null;
}

/** Signs and reads JWTs: HS256, nothing else. */
export class Tokens {
  readonly #secret: Uint8Array;
  readonly #config: MessageJsConfig;
  readonly #clock: Clock;
  readonly #spelling: Spelling;

  constructor(config: MessageJsConfig, clock: Clock, spelling: Spelling) {
    this.#secret = new TextEncoder().encode(config.jwtSecret);
    this.#config = config;
    this.#clock = clock;
    this.#spelling = spelling;
  }

  /** A JWT of a session. */
  sign(of: TokenClaims & { readonly email: string }): Promise<string> {
    const issuedAt = Math.floor(this.#clock.now() / 1_000);
    return new SignJWT({ userId: this.#spelling.user(of.account), email: of.email, sid: of.session })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + Math.max(1, Math.floor(this.#config.jwtExpiresInMs / 1_000)))
      .sign(this.#secret);
  }

  /** What a JWT says. Throws `TOKEN_EXPIRED` and `INVALID_TOKEN`; with `evenExpired` the latter only. */
  async read(token: string, { evenExpired = false } = {}): Promise<TokenClaims> {
    try {
      const { payload } = await jwtVerify(token, this.#secret, {
        algorithms: ['HS256'],
        requiredClaims: ['exp'],
        currentDate: new Date(evenExpired ? 0 : this.#clock.now()),
      });
      const { userId, sid } = payload;
      const account = typeof userId === 'string' ? this.#spelling.readUser(userId) : null;
      if (account === null || typeof sid !== 'string' || !/^[0-9a-z]{24}$/.test(sid)) throw invalidToken();
      return { account, session: sid };
    } catch (error) {
      if (error instanceof joseErrors.JWTExpired) throw new WireError('TOKEN_EXPIRED', 'The token has expired');
      if (error instanceof joseErrors.JOSEError) throw invalidToken();
      // What is not even three parts of base64url can fail below jose.
      if (error instanceof TypeError || error instanceof SyntaxError) throw invalidToken();
      throw error;
    }
  }

  /** The token of a request: the header where there is one, else the cookie (sheet, section 2). Null for none. */
  of(request: FastifyRequest): string | null {
    const { authorization, cookie } = request.headers;
    return authorization === undefined ? cookieOf(cookie, this.#config.cookieName) : bearerOf(authorization);
  }

  /** Puts the token into the answer's cookie; null takes it out. */
  setCookie(reply: FastifyReply, token: string | null): void {
    const { cookieName, jwtExpiresInMs, production } = this.#config;
    const maxAge = token === null ? 0 : Math.floor(jwtExpiresInMs / 1_000);
    const secure = production ? '; Secure' : '';
    reply.header(
      'set-cookie',
      `${cookieName}=${token ?? ''}; Max-Age=${maxAge}; Path=/; HttpOnly; SameSite=Lax${secure}`,
    );
  }
}

function invalidToken(): WireError {
  return new WireError('INVALID_TOKEN', 'Invalid token');
}

/** The acting account, in the trace of a request. */
export function actorOf(account: number, request: FastifyRequest): Actor {
  const actor = { workspace: ACCOUNTS_WORKSPACE, account, dialect: 'messagejs' };
  return request.trace === undefined ? actor : { ...actor, trace: request.trace };
}

/** Tells how a rate limit stands. */
export function tellRate(reply: FastifyReply, taken: RateTaken): void {
  if (taken.limit === 0) return;
  reply.header('x-ratelimit-limit', String(taken.limit));
  reply.header('x-ratelimit-remaining', String(Math.max(0, taken.remaining)));
  reply.header('x-ratelimit-reset', iso(taken.resetAt));
}

/** The hook of dashboard routes: a living session (`requireUser`), then a point of the user's rate limit. */
export function dashboardGuard(options: MessageJsOptions, tokens: Tokens) {
  const { accounts, dispatches, limiter, clock, config } = options;
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const token = tokens.of(request);
    if (token === null) throw new WireError('INVALID_TOKEN', 'No token was given');
    const { account, session } = await tokens.read(token);
    try {
      await accounts.authenticate(session, ACCOUNTS_WORKSPACE, account);
    } catch (error) {
      if (error instanceof DomainError && error.code === 'credential-invalid') throw invalidToken();
      throw error;
    }
    const tier = await dispatches.tierOf({ workspace: ACCOUNTS_WORKSPACE, account });
    const limit = config.dashboardRateLimits[tier];
    const taken = await limiter.take({ scope: `dashboard:${account}`, limit, windowMs: 60_000 });
    if (taken.granted === 0) throw tooMany('RATE_LIMIT_EXCEEDED', { limit, resetAt: taken.resetAt, now: clock.now() });
    tellRate(reply, taken);
    const atLeast = await positionAsked(options.freshness, request);
    request.messagejsUser = { account, session, actor: actorOf(account, request), atLeast };
  };
}

/** Who asks; on a route behind `dashboardGuard`. */
export function userOf(request: FastifyRequest): DashboardUser {
  const user = request.messagejsUser;
  if (user === null) throw new Error('a dashboard route without its guard');
  return user;
}
