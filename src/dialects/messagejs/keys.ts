import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { type KeyView, listKeys } from '../../../projections/keys/queries.ts';
import { type Context, projectOfPath } from './context.ts';
import { orNotFound, WireError } from './errors.ts';
import { keyedBy, keyedHeaders } from './keyed.ts';
import { listAnswer, pageAsked, pageQuery, type Query, waitForRows } from './reading.ts';
import { addRoute, iso, isoOrNull, param, tellPosition } from './routes.ts';
import * as wire from './wire.ts';

const shared = { tags: ['API keys'], security: ['jwt', 'cookie'], refusals: [401, 403, 404] };
const params = z.object({ projectId: z.string() });
const notFoundText = 'API key not found';

/** Routes of the sheet's section 6. A revoked key does not exist; one past its end is still listed. */
export function keyRoutes(app: FastifyInstance, context: Context): void {
  const { options, spelling, guard } = context;
  const { workspaces, db, freshness, config } = options;

  addRoute(app, {
    ...shared,
    method: 'GET',
    path: '/projects/:projectId/keys',
    summary: 'List API keys, newest first',
    params,
    query: pageQuery,
    answers: { 200: wire.keyList },
    onRequest: guard,
    async handler(request, reply) {
      const { user, workspace } = await projectOfPath(context, request);
      const page = pageAsked(request.query as Query);
      await waitForRows(freshness, user, reply, workspace);
      const found = await listKeys(db, workspace, page ?? undefined);
      return listAnswer('keys', found, page, (view: KeyView) => ({
        id: spelling.key(workspace, view.key),
        name: view.name,
        lastUsed: isoOrNull(view.lastUsedAt),
        rateLimit: view.rateLimit,
        isActive: true,
        createdAt: iso(view.createdAt),
      }));
    },
  });

  addRoute(app, {
    ...shared,
    method: 'POST',
    path: '/projects/:projectId/keys',
    summary: 'Create an API key',
    description:
      'The body may be left out. The key is shown in this answer and never again, but to who repeats the request with its ' +
      '`Idempotency-Key`.',
    params,
    headers: keyedHeaders,
    body: wire.createKeyBody.optional(),
    answers: { 201: wire.keyCreated },
    onRequest: guard,
    async handler(request, reply) {
      const { user, workspace } = await projectOfPath(context, request);
      const body = wire.readBody(wire.createKeyBody, request.body);
      const { name = 'API Key', rateLimit = config.defaultKeyRateLimit } = body;
      const expiresAt = body.expiresAt == null ? null : Date.parse(body.expiresAt);
      const keyed = keyedBy(request, `POST /projects/${workspace}/keys`);
      const issuing = workspaces.issueKey(user.actor, workspace, { name, rateLimit, expiresAt }, keyed);
      const { key, secret, state, position } = await orNotFound('API_KEY_NOT_FOUND', notFoundText, issuing);
      tellPosition(reply, position);
      reply.code(201);
      return {
        key: secret,
        id: spelling.key(workspace, key),
        name: state.name,
        rateLimit: state.rateLimit,
        isActive: true,
        createdAt: iso(state.createdAt),
      };
    },
  });

  addRoute(app, {
    ...shared,
    method: 'DELETE',
    path: '/projects/:projectId/keys/:keyId',
    summary: 'Delete an API key',
    params: params.extend({ keyId: z.string() }),
    answers: { 204: wire.nothing },
    onRequest: guard,
    async handler(request, reply) {
      const { user, workspace } = await projectOfPath(context, request);
      const key = spelling.readIn(workspace, 'key', param(request, 'keyId'));
      if (key === null) throw new WireError('API_KEY_NOT_FOUND', notFoundText);
      const work = workspaces.revokeKey(user.actor, workspace, key);
      tellPosition(reply, await orNotFound('API_KEY_NOT_FOUND', notFoundText, work));
      return reply.code(204).send();
    },
  });
}
