import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import {
  countNotifications,
  findNotification,
  listNotifications,
  type NotificationFilter,
} from '../../../projections/notifications/queries.ts';
import { notificationPriorities, notificationStatuses, notificationTypes } from '../../../schemas/index.ts';
import {
  type Changed,
  emailAddressPattern,
  type NotificationChanges,
  type NotificationInput,
  type NotificationState,
  type OneOffProvider,
} from '../../commands/index.ts';
import { type Context, keyedBy, known, orNotFound } from './context.ts';
import { callerOf } from './credentials.ts';
import { invalidField, notFound } from './errors.ts';
import { showAnalytics, showAttempt, showNotification, writtenNotification } from './notification-rendering.ts';
import * as shapes from './notification-wire.ts';
import {
  listQuery,
  pageAsked,
  type Query,
  queryOf,
  queryText,
  rangeQuery,
  sortAsked,
  timeAsked,
  waitForRows,
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
const defaultMaxRetries = 3;

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
        ...contentOf(body, type),
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
      const page = pageAsked(query);
      const { sort = 'created', order } = sortAsked(query, columns);
      const status = wordAsked(query, 'status', notificationStatuses);
      const priority = wordAsked(query, 'priority', notificationPriorities);
      const filter = {
        ...filterOf(query, caller.workspace),
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
      const filter = filterOf({ ...query, start_date, end_date }, caller.workspace);
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
      const body = wire.readBody(bodies.change, request.body);
      const state = await orNotFound('Notification', notifications.state(actor, id));
      refuseMoved(request.body, state, state.room === null ? null : spelling.room(state.workspace, state.room));
      return changed(reply, notifications.change(actor, id, changesOf(body, state)));
    },
  });

  for (const [method, path] of [
    ['DELETE', one],
    ['POST', `${one}/cancel`],
  ] as const)
    addRoute(app, context, {
      method,
      path,
      summary: 'Cancel a notification',
      description: 'While it is pending.',
      tags,
      access,
      answers: { 200: wire.one(shapes.notificationShown) },
      refusals: [400, 404],
      handler: (request, reply) =>
        changed(reply, notifications.cancel(callerOf(request).actor, notificationOfPath(context, request))),
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

  /** What lists and counts are narrowed by. Throws 422, and 404 for a room that is none of the client's. */
  function filterOf(query: Query, workspace: number): NotificationFilter {
    const type = wordAsked(query, 'type', notificationTypes);
    const room = queryText(query, 'room_id');
    const fromMs = timeAsked(query, 'start_date');
    const toMs = timeAsked(query, 'end_date');
    return {
      workspace,
      ...(type !== undefined && { type }),
      ...(room !== undefined && { room: known(spelling.readRoom(workspace, room), 'Room') }),
      ...(fromMs !== undefined && { fromMs }),
      ...(toMs !== undefined && { toMs }),
    };
  }
}

/** The notification that the path names. */
function notificationOfPath({ spelling }: Context, request: FastifyRequest): string {
  const id = spelling.readNotification(param(request, 'notification_id'));
  if (id === null) throw notFound('Notification');
  return id;
}

function wordAsked<T extends string>(query: Query, name: string, words: readonly T[]): T | undefined {
  const given = queryText(query, name);
  const word = words.find((each) => each === given);
  if (given !== undefined && word === undefined) throw invalidField(name, `Must be one of ${words.join(', ')}`);
  return word;
}

/** A notification stays what and where it is: what is given of that must be as it is. */
function refuseMoved(body: unknown, state: NotificationState, room: string | null): void {
  const { type = state.type, room_id = room } = (body ?? {}) as { type?: unknown; room_id?: unknown };
  if (type !== state.type) throw invalidField('type', 'Cannot be changed');
  if (room_id !== room) throw invalidField('room_id', 'Cannot be changed');
}

type Content = Omit<NotificationInput, 'type' | 'room' | 'content'>;

/** What the fields of a new notification say. */
function contentOf(body: shapes.NotificationFields, type: NotificationInput['type']): Content {
  const mails = mailsOf(body, null);
  return {
    subject: body.subject ?? null,
    ...mails,
    recipients: body.recipients ?? [],
    priority: body.priority ?? 'normal',
    scheduledFor: timeOf(body.scheduled_for) ?? null,
    provider: body.provider_config ? providerOf(body.provider_config, type, mails) : null,
    maxRetries: body.max_retry_attempts ?? defaultMaxRetries,
    meta: body.meta ?? null,
  };
}

/** What the fields given change. */
function changesOf(body: shapes.NotificationFields, state: NotificationState): NotificationChanges {
  const { subject, content, recipients, priority, max_retry_attempts: maxRetries, meta, provider_config } = body;
  const mails = mailsOf(body, state);
  const provider = provider_config && providerOf(provider_config, state.type, mails);
  return {
    ...(subject !== undefined && { subject }),
    ...(content !== undefined && { content }),
    ...(mails.email !== state.email && { email: mails.email }),
    ...(mails.fallback !== state.fallback && { fallback: mails.fallback }),
    ...(recipients != null && { recipients }),
    ...(priority !== undefined && { priority }),
    ...(body.scheduled_for !== undefined && { scheduledFor: timeOf(body.scheduled_for) ?? null }),
    ...(maxRetries !== undefined && { maxRetries }),
    ...(meta !== undefined && { meta }),
    ...(provider !== undefined && { provider }),
  };
}

type Mails = Pick<NotificationInput, 'email' | 'fallback'>;
type FallbackFields = NonNullable<shapes.NotificationFields['email_fallback']>;

/** The mails that the fields describe; what is not given stays as it was. */
function mailsOf(body: shapes.NotificationFields, before: Mails | null): Mails {
  const known = before?.email;
  const { to_email: to = known?.to, from_email: from = known?.from, reply_to: replyTo = known?.replyTo } = body;
  const { cc = known?.cc, bcc = known?.bcc, email_fallback: given } = body;
  const named = [body.to_email, body.from_email, body.reply_to, body.cc, body.bcc].some((each) => each !== undefined);
  const email = to ? { to, from: from ?? null, replyTo: replyTo ?? null, cc: cc ?? [], bcc: bcc ?? [] } : null;
  return {
    email: named || before === null ? email : before.email,
    fallback: given === undefined ? (before?.fallback ?? null) : given && fallbackOf(given, body.from_email ?? null),
  };
}

function fallbackOf(given: FallbackFields, from: string | null): NonNullable<NotificationInput['fallback']> {
  return {
    enabled: given.enabled ?? true,
    to: given.to_email,
    subject: given.subject ?? null,
    content: given.content ?? null,
    from: given.from_email ?? from,
    replyTo: given.reply_to ?? null,
    cc: given.cc ?? [],
    bcc: given.bcc ?? [],
  };
}

/** The provider of one notification, and who sends by it. Throws 422 where nobody is named. */
function providerOf(
  given: NonNullable<shapes.NotificationFields['provider_config']>,
  type: NotificationInput['type'],
  { email, fallback }: Mails,
): OneOffProvider {
  const { default_from_email: named, ...config } = given;
  const user = config.provider_type === 'smtp' && emailAddressPattern.test(config.username) ? config.username : null;
  const from = named ?? user;
  const sender = type === 'email' ? email?.from : fallback?.from;
  if (from === null && sender == null)
    throw invalidField('from_email', 'Required with a provider_config that names no default_from_email');
  return { config, from };
}

/** Milliseconds of a time; without a zone it is UTC. */
function timeOf(text: string | null | undefined): number | null | undefined {
  if (text === null || text === undefined) return text;
  return Date.parse(/(?:[Zz]|[+-]\d{2}:?\d{2})$/.test(text) ? text : `${text}Z`);
}
