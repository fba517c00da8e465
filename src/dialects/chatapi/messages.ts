import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { findMessage, listMessages, type MessageFilter } from '../../../projections/messages/queries.ts';
import { type Context, keyedBy, known, orNotFound } from './context.ts';
import { type Caller, callerOf } from './credentials.ts';
import { invalidField, notFound } from './errors.ts';
import {
  listQuery,
  pageAsked,
  type Query,
  queryFlag,
  queryOf,
  queryText,
  rangeQuery,
  sortAsked,
  timeAsked,
  waitForRows,
} from './reading.ts';
import { nameOf, type Renderer } from './rendering.ts';
import { addRoute, param, tellPosition } from './routes.ts';
import { sendMessage } from './sending.ts';
import * as wire from './wire.ts';

const tags = ['Messages'];
const access = { who: 'any', limit: 'messages' } as const;
const columns: Readonly<Record<string, NonNullable<MessageFilter['sort']>>> = {
  created_at: 'posted',
  updated_at: 'updated',
};
const filterQuery = listQuery(columns).extend({
  room_id: z.string().optional(),
  message_type: z.string().optional(),
  sender_id: z.string().optional(),
  include_deleted: z.boolean().optional().describe('Default false'),
  ...rangeQuery.shape,
});

/** Routes of the sheet's section 9 about messages themselves. */
export function messageRoutes(app: FastifyInstance, context: Context, render: Renderer): void {
  const { spelling, options } = context;
  const { messages, rooms, people, db, freshness, config } = options;
  const maxTextUnits = config.maxContentUnits;

  addRoute(app, context, {
    method: 'POST',
    path: '/messages',
    summary: 'Send a message',
    description: 'Answers once the message is stored.',
    tags,
    access,
    keyed: true,
    body: wire.sendBody,
    answers: { 201: wire.one(wire.messageShown) },
    refusals: [400, 403, 404],
    async handler(request, reply) {
      const keyed = keyedBy(request, 'POST /messages');
      const posted = await sendMessage(context, callerOf(request), wire.readBody(wire.sendBody, request.body), keyed);
      const { state, sender, position } = posted;
      tellPosition(reply, position);
      reply.code(201);
      const name = sender === null ? null : nameOf(sender);
      return render.one(render.writtenMessage(state, name, state.sender !== 0 && sender === null));
    },
  });

  addRoute(app, context, {
    method: 'GET',
    path: '/messages',
    summary: 'List messages',
    description: 'Of one room, or of all that the key sees.',
    tags,
    access,
    query: filterQuery.extend({ search: z.string().optional().describe('A part of the content, whatever its case') }),
    answers: { 200: wire.list(wire.messageShown) },
    refusals: [403, 404],
    handler: (request, reply) => listed(request, reply, 'search'),
  });

  addRoute(app, context, {
    method: 'GET',
    path: '/messages/search',
    summary: 'Search messages',
    tags,
    access,
    query: filterQuery.extend({ q: z.string().min(1).describe('A part of the content, whatever its case') }),
    answers: { 200: wire.list(wire.messageShown) },
    refusals: [403, 404],
    handler(request, reply) {
      if (!queryText(queryOf(request), 'q')) throw invalidField('q', 'Field required');
      return listed(request, reply, 'q');
    },
  });

  addRoute(app, context, {
    method: 'GET',
    path: '/messages/:message_id',
    summary: 'A message',
    tags,
    access,
    answers: { 200: wire.one(wire.messageShown) },
    refusals: [403, 404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const message = messageOfPath(context, request, caller);
      await orNotFound('Message', messages.readable(caller.actor, message));
      await waitForRows(freshness, caller, reply);
      const view = await findMessage(db, caller.workspace, message, caller.account);
      if (!view || view.deleted) throw notFound('Message');
      return render.one(render.message(view));
    },
  });

  addRoute(app, context, {
    method: 'PUT',
    path: '/messages/:message_id',
    summary: 'Edit a message',
    description: 'For its sender, and with a master key.',
    tags,
    access,
    body: wire.editBody,
    answers: { 200: wire.one(wire.messageShown) },
    refusals: [400, 403, 404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const { workspace } = caller;
      const message = messageOfPath(context, request, caller);
      const { content: text, meta } = wire.readBody(wire.editBody, request.body);
      const change = { text, maxTextUnits, ...(meta !== undefined && { meta }) };
      const { state, position } = await orNotFound('Message', messages.edit(caller.actor, message, change));
      tellPosition(reply, position);
      // What its sender was called when it was sent, the rows know.
      await waitForRows(freshness, caller, reply);
      const view = await findMessage(db, workspace, message);
      const sender = view ? null : await people.stateOf(workspace, state.sender);
      const name = view ? view.senderName : sender?.exists ? nameOf(sender) : null;
      return render.one(render.writtenMessage(state, name, view?.senderDeleted ?? false));
    },
  });

  addRoute(app, context, {
    method: 'DELETE',
    path: '/messages/:message_id',
    summary: 'Delete a message',
    description: 'For its sender, and with a master key. What it said is erased.',
    tags,
    access,
    answers: { 204: wire.nothing },
    refusals: [403, 404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const message = messageOfPath(context, request, caller);
      const { position } = await orNotFound('Message', messages.delete(caller.actor, message));
      tellPosition(reply, position);
      return reply.code(204).send();
    },
  });

  async function listed(request: FastifyRequest, reply: Parameters<typeof waitForRows>[2], searchName: string) {
    const caller = callerOf(request);
    const query = queryOf(request);
    const page = pageAsked(query);
    const filter = filterOf(query, caller, queryText(query, searchName));
    const [room] = filter.rooms ?? [];
    if (room !== undefined) await orNotFound('Room', rooms.readable(caller.actor, room));
    await waitForRows(freshness, caller, reply);
    const { items, total } = await listMessages(db, filter, page);
    return render.list(
      items.map((view) => render.message(view)),
      page,
      total,
    );
  }

  /** The filter a query asks for. Throws 422, and 404 for ids that are none. */
  function filterOf(query: Query, { workspace, account }: Caller, search: string | undefined): MessageFilter {
    const { sort = 'posted', order } = sortAsked(query, columns);
    const room = queryText(query, 'room_id');
    const type = queryText(query, 'message_type');
    const sender = queryText(query, 'sender_id');
    const fromMs = timeAsked(query, 'start_date');
    const toMs = timeAsked(query, 'end_date');
    return {
      workspace,
      viewer: account,
      sort,
      order,
      deletedToo: queryFlag(query, 'include_deleted') ?? false,
      ...(room !== undefined && { rooms: [known(spelling.readRoom(workspace, room), 'Room')] }),
      ...(type !== undefined && { types: [type] }),
      ...(sender !== undefined && { sender: known(spelling.readSender(workspace, sender), 'User') }),
      ...(search !== undefined && { search }),
      ...(fromMs !== undefined && { fromMs }),
      ...(toMs !== undefined && { toMs }),
    };
  }
}

/** The message that the path names. */
export function messageOfPath({ spelling }: Context, request: FastifyRequest, { workspace }: Caller): number {
  return known(spelling.readMessage(workspace, param(request, 'message_id')), 'Message');
}
