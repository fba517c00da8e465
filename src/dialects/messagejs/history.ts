import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import {
  type DispatchFilter,
  type DispatchStatus,
  type DispatchView,
  findDispatch,
  listDispatches,
} from '../../../projections/dispatches/queries.ts';
import { connectorTypes } from '../../../schemas/index.ts';
import { DomainError } from '../../commands/index.ts';
import { type Context, ownProject } from './context.ts';
import { userOf } from './credentials.ts';
import { invalidField, WireError } from './errors.ts';
import {
  pageOrFirst,
  pageQuery,
  paginationOf,
  type Query,
  queryText,
  rangeQuery,
  requiredText,
  timeAsked,
  waitForRows,
} from './reading.ts';
import { addRoute, iso, isoOrNull, param } from './routes.ts';
import * as wire from './wire.ts';

const shared = { tags: ['Messages'], security: ['jwt', 'cookie'], refusals: [401, 403, 404] };

/** Words for a status in a query: the four, and `queued`, which the answer to a send says of a pending one. */
const statusWords: Readonly<Record<string, DispatchStatus>> = {
  pending: 'pending',
  queued: 'pending',
  sent: 'sent',
  delivered: 'delivered',
  failed: 'failed',
};

const listQuery = pageQuery.extend({
  projectId: z.string(),
  status: z.enum(Object.keys(statusWords)).optional().describe('The current status; `queued` is `pending`'),
  connector: z.enum(connectorTypes).optional().describe('The type of connector'),
  ...rangeQuery.shape,
});

/** Routes of the sheet's section 10. */
export function historyRoutes(app: FastifyInstance, context: Context): void {
  const { options, spelling, guard } = context;
  const { dispatchRecords, workspaces, db, freshness } = options;

  const shown = (view: DispatchView) => ({
    id: spelling.message(view.dispatch),
    to: view.to,
    text: view.text,
    status: view.status,
    sentAt: isoOrNull(view.sentAt),
    createdAt: iso(view.createdAt),
  });

  addRoute(app, {
    ...shared,
    method: 'GET',
    path: '/messages',
    summary: "List a project's messages, newest first",
    query: listQuery,
    answers: { 200: wire.messageList },
    onRequest: guard,
    async handler(request, reply) {
      const query = request.query as Query;
      const { user, workspace } = await ownProject(context, request, requiredText(query, 'projectId'));
      const page = pageOrFirst(query);
      const filter = { ...filterOf(query), workspace, ...page };
      await waitForRows(freshness, user, reply, workspace);
      const { items, total } = await listDispatches(db, filter);
      const messages = items.map((view) => ({ ...shown(view), connectorType: view.connectorType }));
      return { messages, pagination: paginationOf(page, items.length, total) };
    },
  });

  addRoute(app, {
    ...shared,
    method: 'GET',
    path: '/messages/:id',
    summary: 'Get a message',
    params: z.object({ id: z.string() }),
    answers: { 200: wire.messageShown },
    onRequest: guard,
    async handler(request, reply) {
      const user = userOf(request);
      const dispatch = spelling.readMessage(param(request, 'id'));
      if (dispatch === null) throw messageNotFound();
      // The log tells whose it is, rows or no rows: then it is known what the rows have to show.
      const workspace = await workspaceOf(dispatch);
      const owned = workspaces.ownedBy(user.actor, workspace);
      await owned.catch(asMessageNotFound);
      await waitForRows(freshness, user, reply, workspace);
      const view = await findDispatch(db, dispatch);
      if (!view) throw messageNotFound();
      return {
        ...shown(view),
        projectId: spelling.project(workspace),
        connectorId: spelling.connector(workspace, view.connector),
        metadata: view.externalId === null ? {} : { messageId: view.externalId },
        deliveredAt: isoOrNull(view.deliveredAt),
        ...(view.status === 'failed' && { error: view.error ?? 'The message failed' }),
      };
    },
  });

  async function workspaceOf(dispatch: string): Promise<number> {
    const { state } = await dispatchRecords.dispatch(dispatch).catch(asMessageNotFound);
    return state.workspace;
  }
}

/** The filter a query asks for. Throws `INVALID_INPUT`, `INVALID_CONNECTOR_TYPE`. */
function filterOf(query: Query): Omit<DispatchFilter, 'workspace'> {
  const word = queryText(query, 'status');
  const status = word === undefined || !Object.hasOwn(statusWords, word) ? undefined : statusWords[word];
  if (word !== undefined && status === undefined)
    throw invalidField('status', `is not one of ${Object.keys(statusWords).join(', ')}`);
  const type = queryText(query, 'connector');
  const connectorType = connectorTypes.find((each) => each === type);
  if (type !== undefined && connectorType === undefined)
    throw invalidField('connector', `is not one of ${connectorTypes.join(', ')}`, 'INVALID_CONNECTOR_TYPE');
  const fromMs = timeAsked(query, 'from');
  const toMs = timeAsked(query, 'to');
  return {
    ...(status && { status }),
    ...(connectorType && { connectorType }),
    ...(fromMs !== undefined && { fromMs }),
    ...(toMs !== undefined && { toMs }),
  };
}

function messageNotFound(): WireError {
  return new WireError('MESSAGE_NOT_FOUND', 'Message not found');
}

/** A message of a deleted project does not exist either. */
function asMessageNotFound(error: unknown): never {
  throw error instanceof DomainError && error.code === 'not-found' ? messageNotFound() : error;
}
