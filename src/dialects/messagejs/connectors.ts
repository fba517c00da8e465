import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type ConnectorView, findConnector, listConnectors } from '../../../projections/connectors/queries.ts';
import { connectorTypes } from '../../../schemas/index.ts';
import type { ConnectorType, Credentials, ProviderDoor } from '../../commands/index.ts';
import { type Context, projectOfPath } from './context.ts';
import { invalidField, WireError } from './errors.ts';
import { keyedBy, keyedHeaders } from './keyed.ts';
import { listAnswer, pageAsked, pageQuery, type Query, waitForRows } from './reading.ts';
import { addRoute, iso, param, tellPosition } from './routes.ts';
import * as wire from './wire.ts';

const shared = { tags: ['Connectors'], security: ['jwt', 'cookie'], refusals: [401, 403, 404] };
const inProject = z.object({ projectId: z.string() });
const ofOne = inProject.extend({ id: z.string() });
const collection = '/projects/:projectId/connectors';
const single = `${collection}/:id`;

/** E.164 with its plus: what Twilio takes as a sender. */
const phoneForm = /^\+[1-9]\d{1,14}$/;
const maxCredentialUnits = 8_192;

/** Routes of the sheet's section 7. */
export function connectorRoutes(app: FastifyInstance, context: Context): void {
  const { options, spelling, guard } = context;
  const { workspaces, providers, db, freshness } = options;

  const shown = (view: Omit<ConnectorView, 'senderHash' | 'updatedAt'>) => ({
    id: spelling.connector(view.workspace, view.connector),
    type: view.connectorType,
    name: view.name,
    isActive: view.isActive,
    createdAt: iso(view.createdAt),
  });

  addRoute(app, {
    ...shared,
    method: 'GET',
    path: collection,
    summary: 'List connectors, newest first',
    params: inProject,
    query: pageQuery,
    answers: { 200: wire.connectorList },
    onRequest: guard,
    async handler(request, reply) {
      const { user, workspace } = await projectOfPath(context, request);
      const page = pageAsked(request.query as Query);
      await waitForRows(freshness, user, reply, workspace);
      return listAnswer('connectors', await listConnectors(db, workspace, page ?? undefined), page, shown);
    },
  });

  addRoute(app, {
    ...shared,
    method: 'POST',
    path: collection,
    summary: 'Create a connector',
    description:
      "The provider is not asked; the credentials are never shown again. `name` is the provider's by default.",
    params: inProject,
    headers: keyedHeaders,
    body: wire.createConnectorBody,
    answers: { 201: wire.connectorCreated },
    onRequest: guard,
    async handler(request, reply) {
      const { user, workspace, id } = await projectOfPath(context, request);
      const body = wire.objectBody(request.body);
      const connectorType = typeOf(body.type);
      const provider = providers[connectorType];
      const credentials = readCredentials(body.credentials, provider);
      const { name = provider.label } = wire.readBody(wire.connectorFields, body);
      const keyed = keyedBy(request, `POST /projects/${workspace}/connectors`);
      const input = { connectorType, name, credentials };
      const created = await workspaces.createConnector(user.actor, workspace, input, keyed);
      tellPosition(reply, created.position);
      reply.code(201);
      return { ...shown(created.state), projectId: id };
    },
  });

  addRoute(app, {
    ...shared,
    method: 'GET',
    path: single,
    summary: 'Get a connector',
    params: ofOne,
    answers: { 200: wire.connectorShown },
    onRequest: guard,
    async handler(request, reply) {
      const { user, workspace } = await projectOfPath(context, request);
      const connector = connectorOfPath(context, request, workspace);
      await waitForRows(freshness, user, reply, workspace);
      const view = await findConnector(db, workspace, connector);
      if (!view) throw connectorNotFound();
      return { ...shown(view), updatedAt: iso(view.updatedAt) };
    },
  });

  addRoute(app, {
    ...shared,
    method: 'PUT',
    path: single,
    summary: 'Change a connector',
    description: '`credentials`, when given, are replaced as a whole.',
    params: ofOne,
    body: wire.changeConnectorBody,
    answers: { 200: wire.connectorChanged },
    onRequest: guard,
    async handler(request, reply) {
      const { user, workspace } = await projectOfPath(context, request);
      const connector = connectorOfPath(context, request, workspace);
      const before = await workspaces.connector(workspace, connector);
      const body = wire.objectBody(request.body);
      const credentials =
        body.credentials === undefined ? undefined : readCredentials(body.credentials, providers[before.connectorType]);
      const { name, isActive } = wire.readBody(wire.connectorFields, body);
      const changes = { name, isActive, credentials };
      const isChanged = Object.values(changes).some((value) => value !== undefined);
      const { state, position } = isChanged
        ? await workspaces.changeConnector(user.actor, workspace, connector, changes)
        : { state: before, position: null };
      tellPosition(reply, position);
      const { id } = shown(state);
      return { id, name: state.name, isActive: state.isActive, updatedAt: iso(state.updatedAt) };
    },
  });

  addRoute(app, {
    ...shared,
    method: 'DELETE',
    path: single,
    summary: 'Delete a connector',
    description: 'Messages sent through it stay; those still pending fail.',
    params: ofOne,
    answers: { 204: wire.nothing },
    onRequest: guard,
    async handler(request, reply) {
      const { user, workspace } = await projectOfPath(context, request);
      const connector = connectorOfPath(context, request, workspace);
      tellPosition(reply, await workspaces.deleteConnector(user.actor, workspace, connector));
      return reply.code(204).send();
    },
  });

  testRoute(app, context);
}

/** Asks the provider whether a connector's credentials work. */
function testRoute(app: FastifyInstance, context: Context): void {
  const { workspaces, providers } = context.options;
  addRoute(app, {
    ...shared,
    method: 'POST',
    path: `${single}/test`,
    summary: 'Test a connector',
    params: ofOne,
    answers: { 200: wire.connectorTested },
    refusals: [...shared.refusals, 500, 502],
    onRequest: context.guard,
    async handler(request) {
      const { workspace } = await projectOfPath(context, request);
      const state = await workspaces.connector(workspace, connectorOfPath(context, request, workspace));
      const result = await providers[state.connectorType].check(
        openedCredentials(() => workspaces.openCredentials(state)),
      );
      if (result.outcome === 'unreachable') throw new WireError('THIRD_PARTY_ERROR', result.message);
      const connected = result.outcome === 'connected';
      return { success: connected, connected, message: result.message };
    },
  });
}

/** Credentials sealed with a key that is not configured any more are our trouble, not the caller's. */
function openedCredentials(open: () => Credentials): Credentials {
  try {
    return open();
  } catch {
    throw new WireError('CONNECTOR_ERROR', "The connector's credentials cannot be read");
  }
}

/** The connector that a nested route's path names; one of another project does not exist. */
function connectorOfPath({ spelling }: Context, request: FastifyRequest, workspace: number): number {
  const connector = spelling.readIn(workspace, 'connector', param(request, 'id'));
  if (connector === null) throw connectorNotFound();
  return connector;
}

function connectorNotFound(): WireError {
  return new WireError('CONNECTOR_NOT_FOUND', 'Connector not found');
}

function typeOf(value: unknown): ConnectorType {
  const type = connectorTypes.find((each) => each === value);
  if (type === undefined)
    throw invalidField('type', `is not one of ${connectorTypes.join(', ')}`, 'INVALID_CONNECTOR_TYPE');
  return type;
}

/** A provider's credentials; nothing else of what was given. The order of checks is the sheet's (section 7). */
function readCredentials(value: unknown, { credentialNames }: ProviderDoor): Credentials {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isObject || Object.keys(value).length === 0)
    throw invalidField('credentials', 'is required', 'MISSING_REQUIRED_FIELD');
  const given = value as Readonly<Record<string, unknown>>;
  const read: Record<string, string> = {};
  const missing: string[] = [];
  for (const name of credentialNames) {
    const each = Object.hasOwn(given, name) ? given[name] : undefined;
    if (typeof each !== 'string' || each.trim() === '') missing.push(name);
    else if (each.length > maxCredentialUnits) throw invalidField(`credentials.${name}`, 'is too long');
    else read[name] = each;
  }
  if (missing.length > 0) {
    throw new WireError('INVALID_CREDENTIALS', 'Invalid connector credentials', { status: 400, details: { missing } });
  }
  if (read.fromNumber !== undefined && !phoneForm.test(read.fromNumber))
    throw invalidField('credentials.fromNumber', 'Invalid phone number', 'INVALID_PHONE');
  return read;
}
