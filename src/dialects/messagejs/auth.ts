import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { findAccount } from '../../../projections/accounts/queries.ts';
import { ACCOUNTS_WORKSPACE, type OpenSession } from '../../commands/index.ts';
import type { Context } from './context.ts';
import { tellRate, userOf } from './credentials.ts';
import { tooMany, WireError } from './errors.ts';
import { waitForRows } from './reading.ts';
import { addRoute, iso, isoOrNull, tellPosition } from './routes.ts';
import * as wire from './wire.ts';

const tags = ['Auth'];

/** Routes of the sheet's section 4. */
export function authRoutes(app: FastifyInstance, context: Context): void {
  const { options, tokens, spelling, guard } = context;
  const { accounts, db, freshness } = options;

  addRoute(app, {
    method: 'POST',
    path: '/auth/register',
    summary: 'Register a user',
    tags,
    security: [],
    body: wire.registerBody,
    answers: { 201: wire.registered },
    refusals: [409],
    async handler(request, reply) {
      await takeAuthPoint(context, request, reply);
      const { email, password, name } = wire.readBody(wire.registerBody, request.body);
      const input = { email, password, displayName: name ?? null };
      const opened = await accounts.register(ACCOUNTS_WORKSPACE, {
        ...input,
        ...(request.trace !== undefined && { trace: request.trace }),
      });
      const session = await accounts.startSession(ACCOUNTS_WORKSPACE, opened.account, false, request.trace);
      const pair = await openedTokens(context, reply, session, email);
      reply.code(201);
      const createdAt = iso(opened.openedAt);
      return { user: { id: spelling.user(opened.account), email, name: name ?? null, createdAt }, ...pair };
    },
  });

  addRoute(app, {
    method: 'POST',
    path: '/auth/login',
    summary: 'Log in',
    tags,
    security: [],
    body: wire.loginBody,
    answers: { 200: wire.loggedIn },
    refusals: [401],
    async handler(request, reply) {
      await takeAuthPoint(context, request, reply);
      const { email, password } = wire.readBody(wire.loginBody, request.body);
      const session = await accounts.login(ACCOUNTS_WORKSPACE, { email, password }, request.trace);
      const { account, state } = session;
      const shown = state.email ?? email;
      const pair = await openedTokens(context, reply, session, shown);
      return { user: { id: spelling.user(account), email: shown, name: state.displayName }, ...pair };
    },
  });

  addRoute(app, {
    method: 'GET',
    path: '/auth/me',
    summary: 'The user who asks',
    tags,
    security: ['jwt', 'cookie'],
    answers: { 200: wire.me },
    refusals: [401],
    onRequest: guard,
    async handler(request, reply) {
      const user = userOf(request);
      await waitForRows(freshness, user, reply);
      const view = await findAccount(db, { workspace: ACCOUNTS_WORKSPACE, account: user.account });
      // Rows that are behind may not know a new account: the log does.
      const state = view ?? (await accounts.account(ACCOUNTS_WORKSPACE, user.account));
      return {
        user: {
          id: spelling.user(user.account),
          email: state.email ?? '',
          name: state.displayName,
          createdAt: iso(state.openedAt),
          lastLogin: isoOrNull(view?.lastLoginAt ?? null),
        },
      };
    },
  });

  addRoute(app, {
    method: 'POST',
    path: '/auth/logout',
    summary: 'End the session',
    description: 'Ends the session of the token or cookie, also of an expired one, and with it its refresh token.',
    tags,
    security: [],
    answers: { 200: wire.loggedOut },
    async handler(request, reply) {
      const token = tokens.of(request);
      const claims = token === null ? null : await tokens.read(token, { evenExpired: true }).catch(asNoToken);
      if (claims) tellPosition(reply, await accounts.endSession(claims.session, request.trace));
      tokens.setCookie(reply, null);
      return { message: 'Logged out successfully' };
    },
  });

  addRoute(app, {
    method: 'POST',
    path: '/auth/refresh',
    summary: 'Renew the token',
    description:
      'The refresh token is replaced; used again within 30 s it yields a fresh pair, later it ends the session.',
    tags,
    security: [],
    body: wire.refreshBody,
    answers: { 200: wire.refreshed },
    refusals: [401],
    async handler(request, reply) {
      const { refreshToken } = wire.readBody(wire.refreshBody, request.body);
      const session = await accounts.refresh(refreshToken, request.trace);
      const { email } = await accounts.account(session.workspace, session.account);
      return openedTokens(context, reply, session, email ?? '');
    },
  });
}

/** Nobody is logged out by a token that is none: that is no error here. */
function asNoToken(error: unknown): null {
  if (error instanceof WireError) return null;
  throw error;
}

/** A point of the limit on registering and logging in; failures use one too. */
async function takeAuthPoint({ options }: Context, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const { limiter, clock, config } = options;
  const { points: limit, durationMs: windowMs, blockMs } = config.authRateLimit;
  const taken = await limiter.take({ scope: `auth:${request.ip}`, limit, windowMs, blockMs });
  if (taken.granted === 0) throw tooMany('RATE_LIMIT_EXCEEDED', { limit, resetAt: taken.resetAt, now: clock.now() });
  tellRate(reply, taken);
}

/** The pair of tokens of a session; the JWT is set as a cookie too. */
async function openedTokens({ tokens }: Context, reply: FastifyReply, session: OpenSession, email: string) {
  const token = await tokens.sign({ account: session.account, session: session.session, email });
  tokens.setCookie(reply, token);
  tellPosition(reply, session.position);
  return { token, refreshToken: session.refreshToken };
}
