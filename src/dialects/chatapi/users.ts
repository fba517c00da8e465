import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import {
  type AccountFilter,
  type AccountView,
  findAccount,
  listAccounts,
} from '../../../projections/accounts/queries.ts';
import { type Context, keyedBy, known, orNotFound } from './context.ts';
import { type Caller, callerOf } from './credentials.ts';
import { forbidden, notFound } from './errors.ts';
import { listQuery, pageAsked, queryFlag, queryOf, queryText, readAll, sortAsked, waitForRows } from './reading.ts';
import type { Renderer } from './rendering.ts';
import { addRoute, iso, isoOrNull, param, tellPosition } from './routes.ts';
import { Tombstones } from './tombstones.ts';
import * as wire from './wire.ts';

const tags = ['Users'];
/** Accounts are numbered in the order in which they were opened. */
const columns: Readonly<Record<string, NonNullable<AccountFilter['sort']>>> = {
  created_at: 'account',
  updated_at: 'updated',
  email: 'email',
  username: 'username',
  full_name: 'name',
};
const own = ' With a scoped key, `profile` stands for oneself.';

/** Routes of the sheet's section 7. */
export function userRoutes(app: FastifyInstance, context: Context, render: Renderer): void {
  const { people, db, freshness, config } = context.options;
  const tombstones = new Tombstones(context, render);
  const keyLifeMs = config.scopedKeyLifeMs === 0 ? null : config.scopedKeyLifeMs;

  addRoute(app, context, {
    method: 'POST',
    path: '/users',
    summary: 'Create a user',
    description: 'The answer shows its scoped key.',
    tags,
    access: { who: 'master' },
    keyed: true,
    body: wire.createUserBody,
    answers: { 201: wire.one(wire.userCreated) },
    async handler(request, reply) {
      const caller = callerOf(request);
      const { actor, workspace } = caller;
      const keyed = keyedBy(request, 'POST /users');
      const { email, username, full_name: fullName = null } = wire.readBody(wire.createUserBody, request.body);
      const input = { email, username, fullName, keyLifeMs };
      const { account, secret, keyHolds, state, position } = await people.createUser(actor, input, keyed);
      tellPosition(reply, position);
      reply.code(201);
      const user = state.exists
        ? { ...render.person(workspace, account, state), created_at: iso(state.openedAt) }
        : await tombstones.user(caller, account, reply);
      return render.one({ ...user, scoped_api_key: secret, ...(!keyHolds && { scoped_api_key_is_active: false }) });
    },
  });

  addRoute(app, context, {
    method: 'POST',
    path: '/users/login',
    summary: 'Issue a new scoped key to a user',
    description: 'The one before stops working at once.',
    tags,
    access: { who: 'master', limit: 'login' },
    body: wire.loginBody,
    answers: { 200: wire.one(wire.loggedIn) },
    refusals: [404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const { workspace, actor } = caller;
      const { email } = wire.readBody(wire.loginBody, request.body);
      const account = await people.accountWith(workspace, email);
      if (account === null) throw notFound('User');
      const issued = people.issueScopedKey(actor, account, { lifeMs: keyLifeMs });
      const { secret, expiresAt, state, position } = await orNotFound('User', issued);
      tellPosition(reply, position);
      return render.one({
        user: render.person(workspace, account, state),
        scoped_api_key: secret,
        expires_at: isoOrNull(expiresAt),
      });
    },
  });

  addRoute(app, context, {
    method: 'GET',
    path: '/users',
    summary: 'List the users',
    tags,
    access: { who: 'master' },
    query: listQuery(columns).extend({ search: z.string().optional(), is_active: z.boolean().optional() }),
    answers: { 200: wire.list(wire.userShown) },
    async handler(request, reply) {
      const caller = callerOf(request);
      const query = queryOf(request);
      const { page, sorted, search, active } = readAll({
        page: () => pageAsked(query),
        sorted: () => sortAsked(query, columns),
        search: () => queryText(query, 'search'),
        active: () => queryFlag(query, 'is_active'),
      });
      const { sort = 'account', order } = sorted;
      await waitForRows(freshness, caller, reply);
      const { items, total } = await listAccounts(
        db,
        {
          workspace: caller.workspace,
          kinds: ['person', 'bot'],
          sort,
          order,
          ...(search !== undefined && { search }),
          ...(active !== undefined && { active }),
        },
        page,
      );
      return render.list(
        items.map((view) => render.user(view)),
        page,
        total,
      );
    },
  });

  addRoute(app, context, {
    method: 'GET',
    path: '/users/:user_id',
    summary: 'A user',
    description: `A scoped key reads its own user.${own}`,
    tags,
    access: { who: 'any' },
    answers: { 200: wire.one(wire.userShown) },
    refusals: [403, 404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const account = userOfPath(context, request, caller);
      await orNotFound('User', people.readable(caller.actor, account));
      return render.one(render.user(await shownUser(caller, account, reply)));
    },
  });

  addRoute(app, context, {
    method: 'PUT',
    path: '/users/:user_id',
    summary: 'Change a user',
    description: `A scoped key changes its own user.${own}`,
    tags,
    access: { who: 'any' },
    body: wire.changeUserBody,
    answers: { 200: wire.one(wire.userShown) },
    refusals: [403, 404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const { workspace, actor, isMaster } = caller;
      const account = userOfPath(context, request, caller);
      await orNotFound('User', people.readable(actor, account));
      const body = wire.readBody(wire.changeUserBody, request.body);
      const { email, username, full_name: displayName, is_active: active } = body;
      if (active !== undefined && !isMaster) throw forbidden('Only a master key switches users on and off');
      const { state, position, at } = await people.changeUser(actor, account, {
        email,
        username,
        active,
        ...(displayName !== undefined && { profile: { displayName } }),
      });
      // Nothing changed: when it last did, the rows tell.
      if (position === null) return render.one(render.user(await shownUser(caller, account, reply)));
      tellPosition(reply, position);
      const times = { created_at: iso(state.openedAt), updated_at: iso(at) };
      return render.one({ ...render.person(workspace, account, state), ...times });
    },
  });

  addRoute(app, context, {
    method: 'DELETE',
    path: '/users/:user_id',
    summary: 'Delete a user',
    description: 'Its key fails at once, its profile is erased, its messages stay.',
    tags,
    access: { who: 'master' },
    answers: { 204: wire.nothing },
    refusals: [404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const account = userOfPath(context, request, caller);
      const { position } = await orNotFound('User', people.deleteUser(caller.actor, account));
      tellPosition(reply, position);
      return reply.code(204).send();
    },
  });

  async function shownUser(caller: Caller, account: number, reply: FastifyReply): Promise<AccountView> {
    await waitForRows(freshness, caller, reply);
    const view = await findAccount(db, { workspace: caller.workspace, account });
    if (!view) throw notFound('User');
    return view;
  }
}

/** The user that the path names. */
function userOfPath({ spelling }: Context, request: FastifyRequest, { workspace, account, isMaster }: Caller): number {
  const text = param(request, 'user_id');
  if (text === 'profile' && !isMaster) return account;
  return known(spelling.readUser(workspace, text), 'User');
}
