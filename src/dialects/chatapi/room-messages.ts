import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { listMessages, watermarksOf } from '../../../projections/messages/queries.ts';
import { DomainError } from '../../commands/index.ts';
import { type Context, known, orNotFound } from './context.ts';
import { callerOf } from './credentials.ts';
import { notFound } from './errors.ts';
import { pageAsked, pageQuery, queryNumber, queryOf, queryText, readAll, waitForRows } from './reading.ts';
import type { Renderer } from './rendering.ts';
import { roomOfPath } from './rooms.ts';
import { addRoute, tellPosition } from './routes.ts';
import * as wire from './wire.ts';

const tags = ['Messages'];
const access = { who: 'any', limit: 'messages' } as const;
const base = '/messages/rooms/:room_id';

/** Routes of the sheet's section 9 about the messages of one room: its latest page, what is unread, how far one has read. */
export function roomMessageRoutes(app: FastifyInstance, context: Context, render: Renderer): void {
  const { spelling, options } = context;
  const { messages, rooms, db, freshness } = options;

  addRoute(app, context, {
    method: 'GET',
    path: base,
    summary: 'The latest messages of a room, oldest first',
    tags,
    access,
    query: z.object({
      limit: z.int().min(1).max(100).optional().describe('Default 50'),
      offset: z.int().min(0).optional().describe('How many of the latest to pass over'),
      before_message_id: z.string().optional(),
    }),
    answers: { 200: wire.list(wire.messageShown) },
    refusals: [403, 404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const { workspace, account: viewer } = caller;
      const room = roomOfPath(context, request, caller);
      await orNotFound('Room', rooms.readable(caller.actor, room));
      const query = queryOf(request);
      const { limit, offset, end } = readAll({
        limit: () => queryNumber(query, 'limit', { min: 1, max: 100, fallback: 50 }),
        offset: () => queryNumber(query, 'offset', { min: 0, fallback: 0 }),
        end: () => queryText(query, 'before_message_id'),
      });
      const before = end === undefined ? undefined : known(spelling.readMessage(workspace, end), 'Message');
      await waitForRows(freshness, caller, reply);
      const filter = { workspace, viewer, rooms: [room], ...(before !== undefined && { before }) };
      const { items, total } = await listMessages(db, filter, { limit, offset });
      const list = render.list(
        items.toReversed().map((view) => render.message(view)),
        { page: Math.floor(offset / limit) + 1, size: limit },
        total,
      );
      const { pagination } = list;
      const ends = { has_next: offset + items.length < total, has_prev: offset > 0 };
      return { ...list, pagination: { ...pagination, ...ends } };
    },
  });

  addRoute(app, context, {
    method: 'GET',
    path: `${base}/unread`,
    summary: "Others' messages after the last one that was read, oldest first",
    tags,
    access,
    query: pageQuery,
    answers: { 200: wire.list(wire.messageShown) },
    refusals: [403, 404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const { workspace, account: viewer } = caller;
      const room = roomOfPath(context, request, caller);
      await orNotFound('Room', rooms.readable(caller.actor, room));
      const page = pageAsked(queryOf(request));
      await waitForRows(freshness, caller, reply);
      const [mark] = await watermarksOf(db, workspace, [room], viewer);
      const filter = { workspace, viewer, rooms: [room], after: mark?.message ?? 0, notSender: viewer } as const;
      const { items, total } = await listMessages(db, { ...filter, order: 'asc' }, page);
      return render.list(
        items.map((view) => render.message(view)),
        page,
        total,
      );
    },
  });

  addRoute(app, context, {
    method: 'POST',
    path: `${base}/read`,
    summary: 'Note that a room was read up to a message',
    description: "For members: a master key reads in nobody's name.",
    tags,
    access,
    body: wire.readBodyOf,
    answers: { 200: wire.markedRead },
    refusals: [403, 404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const { workspace } = caller;
      const room = roomOfPath(context, request, caller);
      const { message_id: text } = wire.readBody(wire.readBodyOf, request.body);
      const message = known(spelling.readMessage(workspace, text), 'Message');
      const work = messages.markRead(caller.actor, room, message);
      const position = await work.catch((error: unknown) => {
        throw error instanceof DomainError && error.code === 'not-found' ? notFound('Message') : error;
      });
      tellPosition(reply, position);
      return render.action('Marked as read', {
        room_id: spelling.room(workspace, room),
        message_id: spelling.message(workspace, message),
      });
    },
  });
}
