import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import {
  countNotifications,
  findNotification,
  listNotifications,
  type NotificationFilter,
} from '../../../projections/notifications/queries.ts';
import { notificationPriorities, notificationStatuses, notificationTypes } from '../../../schemas/index.ts';
import type { Changed, NotificationInput, NotificationState } from '../../commands/index.ts';
import { type Context, keyedBy, known, orNotFound } from './context.ts';
import { callerOf } from './credentials.ts';
import { invalid, notFound } from './errors.ts';
import { changesOf, contentOf } from './notification-reading.ts';
import { showAnalytics, showAttempt, showNotification, writtenNotification } from './notification-rendering.ts';
import * as shapes from './notification-wire.ts';
import {
  listQuery,
  pageAsked,
  type Query,
  queryOf,
  queryText,
  rangeAsked,
  rangeQuery,
  readAll,
  sortAsked,
  waitForRows,
  wordAsked,
} from './reading.ts';
import type { Renderer } from './rendering.ts';
import { addRoute, param, tellPosition } from './routes.ts';
import * as wire from './wire.ts';

const tags = ['Notifications'];
const access = { who: 'master', limit: 'notifications' } as const;
const one = '/notifications/:notification_id';
const columns = {
  created_at: 'created',
  updated_at: 'updated',
  scheduled_for: 'scheduled',
  sent_at: 'sent',
  priority: 'priority',
  status: 'status',
} as const satisfies Readonly<Record<string, NonNullable<NotificationFilter['sort']>>>;
const typeQuery = z.enum(notificationTypes).optional();

/** Routes of the sheet's section 10. */
export function notificationRoutes(app: FastifyInstance, context: Context, render: Renderer): void {
  const { spelling, options } = context;
  const { notifications, db, freshness } = options;
  const bodies = shapes.notificationBodies(options.config.smtpPorts);

  addRoute(app, context, {
    method: 'POST',
    path: '/notifications',
    summary: 'Send a notification',
    description: 'Answers once it is stored: it leaves by itself, at once or at its time.',
    tags,
    access,
    keyed: true,
    body: bodies.create,
    answers: { 201: wire.one(shapes.notificationShown) },
    refusals: [404],
    async handler(request, reply) {
      const { actor, workspace } = callerOf(request);
      const keyed = keyedBy(request, 'POST /notifications');
      const body = wire.readBody(bodies.create, request.body);
      const { type, content, room_id: room } = body;
      const input: NotificationInput = {
        type,
        room: room ? known(spelling.readRoom(workspace, room), 'Room') : null,
        ...contentOf(body),
        content,
      };
      const { state, position } = await orNotFound('Room', notifications.accept(actor, input, keyed));
      tellPosition(reply, position);
      reply.code(201);
      return render.one(writtenNotification(spelling, state));
    },
  });

  addRoute(app, context, {
    method: 'GET',
    path: '/notifications',
    summary: 'List notifications',
    tags,
    access,
    query: listQuery(columns).extend({
      status: z.enum(notificationStatuses).optional(),
      type: typeQuery,
      priority: z.enum(notificationPriorities).optional(),
      room_id: z.string().optional(),
      ...rangeQuery.shape,
    }),
    answers: { 200: wire.list(shapes.notificationShown) },
    refusals: [404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const query = queryOf(request);
      const { page, sorted, status, priority, asked } = readAll({
        page: () => pageAsked(query),
        sorted: () => sortAsked(query, columns),
        status: () => wordAsked(query, 'status', notificationStatuses),
        priority: () => wordAsked(query, 'priority', notificationPriorities),
        asked: () => readFilter(query),
      });
      const { sort = 'created', order } = sorted;
      const filter = {
        ...filterOf(asked, caller.workspace),
        sort,
        order,
        ...(status !== undefined && { status }),
        ...(priority !== undefined && { priority }),
      };
      await waitForRows(freshness, caller, reply);
      const { items, total } = await listNotifications(db, filter, page);
      return render.list(
        items.map((view) => showNotification(spelling, view)),
        page,
        total,
      );
    },
  });

  addRoute(app, context, {
    method: 'GET',
    path: '/notifications/analytics',
    summary: 'How notifications fared',
    description: 'By when they were accepted; rates are percent.',
    tags,
    access,
    query: z.object({
      ...rangeQuery.shape,
      date_from: rangeQuery.shape.start_date.describe('The same as start_date'),
      date_to: rangeQuery.shape.end_date.describe('The same as end_date'),
      type: typeQuery,
      room_id: z.string().optional(),
    }),
    answers: { 200: wire.one(shapes.notificationAnalytics) },
    refusals: [404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const query = queryOf(request);
      const { start_date = query.date_from, end_date = query.date_to } = query;
      const filter = filterOf(readFilter({ ...query, start_date, end_date }), caller.workspace);
      await waitForRows(freshness, caller, reply);
      return render.one(showAnalytics(await countNotifications(db, filter)));
    },
  });

  addRoute(app, context, {
    method: 'GET',
    path: one,
    summary: 'A notification, and the attempts at it',
    tags,
    access,
    answers: { 200: wire.one(shapes.notificationWithAttempts) },
    refusals: [404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const id = notificationOfPath(context, request);
      await waitForRows(freshness, caller, reply);
      const view = await findNotification(db, caller.workspace, id);
      if (!view) throw notFound('Notification');
      return render.one({
        ...showNotification(spelling, view),
        delivery_attempts: view.attempts.map(showAttempt),
      });
    },
  });

  addRoute(app, context, {
    method: 'PUT',
    path: one,
    summary: 'Change a notification',
    description: 'While it is pending. Its type and its room stay.',
    tags,
    access,
    body: bodies.change,
    answers: { 200: wire.one(shapes.notificationShown) },
    refusals: [400, 404],
    async handler(request, reply) {
      const { actor } = callerOf(request);
      const id = notificationOfPath(context, request);
      const state = await orNotFound('Notification', notifications.state(actor, id));
      const room = state.room === null ? null : spelling.room(state.workspace, state.room);
      const { changes } = readAll({
        changes: () => changesOf(wire.readBody(bodies.change, request.body), state),
        moved: () => refuseMoved(request.body, state, room),
      });
      return changed(reply, notifications.change(actor, id, changes));
    },
  });

  const cancelling = { summary: 'Cancel a notification', tags, access, refusals: [400, 404] };
  const cancel = (request: FastifyRequest) =>
    notifications.cancel(callerOf(request).actor, notificationOfPath(context, request));

  addRoute(app, context, {
    ...cancelling,
    method: 'DELETE',
    path: one,
    description: 'While it is pending. It stays, cancelled.',
    answers: { 204: wire.nothing },
    async handler(request, reply) {
      tellPosition(reply, (await orNotFound('Notification', cancel(request))).position);
      return reply.code(204).send();
    },
  });

  addRoute(app, context, {
    ...cancelling,
    method: 'POST',
    path: `${one}/cancel`,
    description: 'While it is pending.',
    answers: { 200: wire.one(shapes.notificationShown) },
    handler: (request, reply) => changed(reply, cancel(request)),
  });

  addRoute(app, context, {
    method: 'POST',
    path: `${one}/retry`,
    summary: 'Try a notification again',
    description: 'When it failed: it gets all its attempts anew. URLs and addresses that took it are left alone.',
    tags,
    access,
    answers: { 200: wire.one(shapes.notificationShown) },
    refusals: [400, 404],
    handler: (request, reply) =>
      changed(reply, notifications.retry(callerOf(request).actor, notificationOfPath(context, request))),
  });

  async function changed(reply: Parameters<typeof tellPosition>[0], work: Promise<Changed<NotificationState>>) {
    const { state, position } = await orNotFound('Notification', work);
    tellPosition(reply, position);
    return render.one(writtenNotification(spelling, state));
  }

  /** What lists and counts are narrowed by. Throws 404 for a room that is none of the client's. */
  function filterOf({ type, room, range }: ReturnType<typeof readFilter>, workspace: number): NotificationFilter {
    return {
      workspace,
      ...(type !== undefined && { type }),
      ...(room !== undefined && { room: known(spelling.readRoom(workspace, room), 'Room') }),
      ...range,
    };
  }
}

/** What lists and counts are asked to be narrowed by. Throws 422. */
function readFilter(query: Query) {
  return readAll({
    type: () => wordAsked(query, 'type', notificationTypes),
    room: () => queryText(query, 'room_id'),
    range: () => rangeAsked(query),
  });
}

/** The notification that the path names. */
function notificationOfPath({ spelling }: Context, request: FastifyRequest): string {
  const id = spelling.readNotification(param(request, 'notification_id'));
  if (id === null) throw notFound('Notification');
  return id;
}

/** A notification stays what and where it is: what is given of that must be as it is. */
function refuseMoved(body: unknown, state: NotificationState, room: string | null): void {
  const { type = state.type, room_id = room } = (body ?? {}) as { type?: unknown; room_id?: unknown };
  const moved = { type: type !== state.type, room_id: room_id !== room };
  const fields = Object.entries(moved).flatMap(([field, isMoved]) => (isMoved ? [field] : []));
  if (fields.length > 0) throw invalid(...fields.map((field) => ({ field, message: 'Cannot be changed' })));
}
