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
  rangeAsked,
  rangeQuery,
  readAll,
  sortAsked,
  waitForRows,
} from './reading.ts';
import { nameOf, type Renderer } from './rendering.ts';
import { addRoute, param, tellPosition } from './routes.ts';
import { sendMessage } from './sending.ts';
import { Tombstones } from './tombstones.ts';
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
  const { spelling, options, messageBodies } = context;
  const { messages, rooms, people, db, freshness, config } = options;
  const maxTextCharacters = config.maxContentCharacters;
  const tombstones = new Tombstones(context, render);

  addRoute(app, context, {
    method: 'POST',
    path: '/messages',
    summary: 'Send a message',
    description: 'Answers once the message is stored.',
    tags,
    access,
    keyed: true,
    body: messageBodies.send,
    answers: { 201: wire.one(wire.messageShown) },
    refusals: [400, 403, 404],
    async handler(request, reply) {
      const keyed = keyedBy(request, 'POST /messages');
      const caller = callerOf(request);
      const posted = await sendMessage(context, caller, wire.readBody(messageBodies.send, request.body), keyed);
      tellPosition(reply, posted.position);
      reply.code(201);
      return render.one(await tombstones.message(caller, posted, reply));
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
    handler: (request, reply) => listed(request, reply, 'q'),
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
    body: messageBodies.edit,
    answers: { 200: wire.one(wire.messageShown) },
    refusals: [400, 403, 404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const { workspace } = caller;
      const message = messageOfPath(context, request, caller);
      const { content: text, meta } = wire.readBody(messageBodies.edit, request.body);
      const change = { text, maxTextCharacters, ...(meta !== undefined && { meta }) };
      const { state, position } = await orNotFound('Message', messages.edit(caller.actor, message, change));
      tellPosition(reply, position);
      // What its sender was called when it was sent, the rows know; of a message that they do not show yet, it is called that now.
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

  async function listed(request: FastifyRequest, reply: Parameters<typeof waitForRows>[2], searchName: 'search' | 'q') {
    const caller = callerOf(request);
    const query = queryOf(request);
    const { page, ...asked } = readAll({
      page: () => pageAsked(query),
      sorted: () => sortAsked(query, columns),
      room: () => queryText(query, 'room_id'),
      type: () => queryText(query, 'message_type'),
      sender: () => queryText(query, 'sender_id'),
      range: () => rangeAsked(query),
      deletedToo: () => queryFlag(query, 'include_deleted'),
      search: () => (searchName === 'q' ? requiredText(query, 'q') : queryText(query, searchName)),
    });
    const filter = filterOf(asked, caller);
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

  /** The filter that is asked for. Throws 404 for ids that are none. */
  function filterOf(asked: AskedFilter, { workspace, account }: Caller): MessageFilter {
    const { room, type, sender, search, range } = asked;
    const { sort = 'posted', order } = asked.sorted;
    return {
      workspace,
      viewer: account,
      sort,
      order,
      deletedToo: asked.deletedToo ?? false,
      ...(room !== undefined && { rooms: [known(spelling.readRoom(workspace, room), 'Room')] }),
      ...(type !== undefined && { types: [type] }),
      ...(sender !== undefined && { sender: known(spelling.readSender(workspace, sender), 'User') }),
      ...(search !== undefined && { search }),
      ...range,
    };
  }
}

/** What a query for messages says, beside its page. */
interface AskedFilter {
  readonly sorted: ReturnType<typeof sortAsked<NonNullable<MessageFilter['sort']>>>;
  readonly room: string | undefined;
  readonly type: string | undefined;
  readonly sender: string | undefined;
  readonly range: ReturnType<typeof rangeAsked>;
  readonly deletedToo: boolean | undefined;
  readonly search: string | undefined;
}

function requiredText(query: Query, name: string): string {
  const value = queryText(query, name);
  if (!value) throw invalidField(name, 'Field required');
  return value;
}

/** The message that the path names. */
export function messageOfPath({ spelling }: Context, request: FastifyRequest, { workspace }: Caller): number {
  return known(spelling.readMessage(workspace, param(request, 'message_id')), 'Message');
}
