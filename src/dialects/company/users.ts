import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { listAccounts } from '../../../projections/accounts/queries.ts';
import { DomainError } from '../../commands/index.ts';
import { fieldErrors, tokenError, wrongLogin } from './errors.ts';
import { actorOf, addRoute, type Context, tellPosition, userOf, waitForRows } from './routes.ts';
import { bearerOf } from './tokens.ts';
import * as wire from './wire.ts';

const tags = ['Users'];
const security = ['token'];

/** Logging in and out, and users (sheet, sections 2 and 3). */
export function userRoutes(app: FastifyInstance, context: Context): void {
  sessionRoutes(app, context);
  const { options, guard } = context;
  const { people, db, config, mail } = options;
  const { workspace, openUsers } = config;
  // Opened by configuration, as the original was; a token that is presented has to hold all the same.
  const openGuard: Context['guard'] = async (request) => {
    if (!openUsers || bearerOf(request.headers.authorization) !== null) await guard(request);
  };

  addRoute(app, {
    method: 'POST',
    path: '/users',
    summary: 'Register a user',
    description:
      'Without a password one is made up: it is told in the answer, and mailed where a mail server is configured.',
    tags,
    security: [],
    body: wire.registerBody,
    answers: { 201: wire.user, 422: wire.fieldsRefused },
    async handler(request, reply) {
      const { name, subname, email, job, password: chosen } = wire.readRegistration(request.body);
      const opened = await people.register(
        workspace,
        {
          email,
          profile: { givenName: name, familyName: subname, job },
          ...(chosen !== undefined && { password: chosen }),
        },
        request.trace,
      );
      const { account, password, state, position } = opened;
      if (chosen === undefined && mail) {
        const text = `Your generated password is ${password}`;
        // One attempt, from memory: the answer does not wait for it, and nothing keeps it.
        void mail.mail({ from: 'company@gmail.com', to: email, subject: 'Generated password', text });
      }
      tellPosition(reply, position);
      reply.code(201);
      return wire.userOf(account, state, password);
    },
  });

  addRoute(app, {
    method: 'GET',
    path: '/users',
    summary: 'List all users',
    tags,
    security,
    answers: { 200: wire.users },
    onRequest: openGuard,
    async handler(request, reply) {
      await waitForRows(options, request, reply);
      const { items } = await listAccounts(db, { workspace, kinds: ['person', 'bot'] });
      return items.map((view) => wire.userOf(view.account, view, wire.hiddenPassword));
    },
  });

  addRoute(app, {
    method: 'PUT',
    path: '/users/:id',
    summary: 'Change the own password',
    description: 'Tokens stay as they are.',
    tags,
    security,
    params: z.object({ id: z.string() }),
    body: wire.passwordBody,
    answers: { 200: wire.newPassword, 422: wire.fieldsRefused },
    onRequest: openGuard,
    async handler(request, reply) {
      const password = wire.required(request.body, 'password');
      const id = wire.readId((request.params as { id: string }).id);
      const known = id !== null && (await people.stateOf(workspace, id)).exists;
      if (!known) throw wire.emptyUser();
      if (request.companyUser !== null && request.companyUser.account !== id) throw tokenError('unauthorized');
      const problems = wire.problemsOfPassword(password);
      if (problems.length > 0) throw fieldErrors({ password: problems });
      const { position } = await people.changePassword(actorOf(options, id, request), id, password as string);
      tellPosition(reply, position);
      return reply.type('application/json; charset=utf-8').send(JSON.stringify(password));
    },
  });
}

function sessionRoutes(app: FastifyInstance, { options, tokens, guard }: Context): void {
  const { people, config } = options;
  const { workspace, tokenLifeMs } = config;

  addRoute(app, {
    method: 'POST',
    path: '/login',
    summary: 'Log in',
    tags: ['Login'],
    security: [],
    body: wire.loginBody,
    answers: { 200: wire.loggedIn, 401: wire.loginRefused, 422: wire.fieldsRefused },
    async handler(request, reply) {
      const { email, password } = wire.wrapped(request.body, 'creds');
      if (typeof email !== 'string' || typeof password !== 'string' || !wire.isStorable(email)) throw wrongLogin();
      const opened = await people
        .login(workspace, { email, password }, tokenLifeMs, request.trace)
        .catch((error: unknown) => {
          throw error instanceof DomainError && error.code === 'account-inactive' ? wrongLogin() : error;
        });
      const life = { fromMs: opened.expiresAt - tokenLifeMs, ms: tokenLifeMs };
      const { token, expire } = await tokens.sign(opened, life);
      tellPosition(reply, opened.position);
      reply.header('authorization', `Bearer ${token}`);
      return { data: { user: wire.userOf(opened.account, opened.state, password), token, expire } };
    },
  });

  addRoute(app, {
    method: 'DELETE',
    path: '/logout',
    summary: 'Log out: the token ends',
    tags: ['Login'],
    security,
    answers: { 200: wire.loggedOut },
    onRequest: guard,
    async handler(request, reply) {
      tellPosition(reply, await people.endSession(userOf(request), request.trace));
      return { data: 'Success logout' };
    },
  });
}
