import type { FastifyInstance } from 'fastify';
import type { Context } from './context.ts';
import { callerOf, takePoint } from './credentials.ts';
import type { Renderer } from './rendering.ts';
import { addRoute, iso, tellPosition } from './routes.ts';
import * as wire from './wire.ts';

const tags = ['Clients'];

/** Routes of the sheet's section 6. */
export function clientRoutes(app: FastifyInstance, context: Context, render: Renderer): void {
  const { options, spelling } = context;
  const { clients, people, config } = options;

  addRoute(app, context, {
    method: 'POST',
    path: '/clients',
    summary: 'Register a client',
    description: 'The answer shows the master key, this once. Keys of an address: so many an hour.',
    tags,
    access: null,
    body: wire.createClientBody,
    answers: { 201: wire.one(wire.clientCreated) },
    onRequest: (request, reply) =>
      takePoint(options, reply, { scope: `chatapi:clients:${request.ip}`, limit: config.authPerHour }),
    async handler(request, reply) {
      const { name, description = null } = wire.readBody(wire.createClientBody, request.body);
      const { workspace, secret, state, position } = await clients.createClient(
        { name: name ?? '', description },
        request.trace,
      );
      tellPosition(reply, position);
      reply.code(201);
      return render.one({ ...render.client(workspace, state), master_api_key: secret });
    },
  });

  addRoute(app, context, {
    method: 'GET',
    path: '/clients/me',
    summary: 'The client of the key',
    tags,
    access: { who: 'any' },
    answers: { 200: wire.one(wire.clientShown) },
    async handler(request) {
      const { actor, workspace, account, isMaster } = callerOf(request);
      const client = render.client(workspace, await clients.client(actor));
      if (isMaster) return render.one(client);
      const { scopedKey, active } = await people.stateOf(workspace, account);
      const issuedAt = iso(scopedKey?.issuedAt ?? 0);
      const key = {
        id: spelling.scopedKey(workspace, account),
        user_id: spelling.user(workspace, account),
        permissions: scopedKey?.permissions ?? null,
        is_active: active,
        created_at: issuedAt,
        updated_at: issuedAt,
      };
      return render.one({ ...client, scoped_key: key });
    },
  });

  addRoute(app, context, {
    method: 'PUT',
    path: '/clients/me',
    summary: 'Change the client of the key',
    description: 'All keys of a client that is switched off fail.',
    tags,
    access: { who: 'master' },
    body: wire.changeClientBody,
    answers: { 200: wire.one(wire.clientChanged) },
    async handler(request, reply) {
      const { actor, workspace } = callerOf(request);
      const { name, description, is_active: isActive } = wire.readBody(wire.changeClientBody, request.body);
      const changes = { name, description, isActive };
      const isChanged = Object.values(changes).some((value) => value !== undefined);
      const { state, position } = isChanged
        ? await clients.changeClient(actor, changes)
        : { state: await clients.client(actor), position: null };
      tellPosition(reply, position);
      return render.one(render.client(workspace, state));
    },
  });
}
