import type { FastifyInstance } from 'fastify';
import { type DeliveryView, findDeadLetter, listDeadLetters } from '../../../projections/webhooks/queries.ts';
import { type Context, orNotFound } from './context.ts';
import { callerOf } from './credentials.ts';
import { notFound } from './errors.ts';
import { pageAsked, pageQuery, percentOf, positionOf, queryOf } from './reading.ts';
import type { Renderer } from './rendering.ts';
import { addRoute, iso, isoOrNull, param, tellPosition } from './routes.ts';
import * as shapes from './webhook-wire.ts';
import { shownWebhook, webhookOfPath } from './webhooks.ts';
import * as wire from './wire.ts';

const tags = ['Webhooks'];
const access = { who: 'master' } as const;
const one = '/webhooks/:webhook_id';

/** Routes of the sheet's section 13 about what leaves: tests, figures, dead letters, replays. */
export function webhookDeliveryRoutes(app: FastifyInstance, context: Context, render: Renderer): void {
  const { options, spelling } = context;
  const { webhooks, webhookTests, db, freshness } = options;

  addRoute(app, context, {
    method: 'POST',
    path: `${one}/test`,
    summary: 'Post a test event to a webhook now',
    description:
      'An event `webhook.test`, signed as any. It is made once, counts for nothing, and is not recorded: its `meta` has no ' +
      '`position`.',
    tags,
    access,
    answers: { 200: wire.one(shapes.webhookTested) },
    refusals: [404],
    async handler(request) {
      const caller = callerOf(request);
      const webhook = webhookOfPath(context, request, caller);
      const state = await orNotFound('Webhook', webhooks.webhook(caller.workspace, webhook));
      const { status, error, tookMs } = await webhookTests.test(state);
      const answer = { status_code: status, error, response_time_ms: Math.round(tookMs) };
      return render.one({ success: error === null, ...answer });
    },
  });

  addRoute(app, context, {
    method: 'GET',
    path: `${one}/analytics`,
    summary: 'How deliveries to a webhook went',
    tags,
    access,
    answers: { 200: wire.one(shapes.webhookAnalytics) },
    refusals: [404],
    async handler(request, reply) {
      const view = await shownWebhook(context, request, reply);
      const { workspace, webhook, delivered, failed } = view;
      const dead = await listDeadLetters(db, workspace, webhook, { limit: 0, offset: 0 });
      return render.one({
        webhook_id: spelling.webhook(workspace, webhook),
        total_deliveries: delivered + failed,
        successful_deliveries: delivered,
        failed_deliveries: failed,
        success_rate: percentOf(delivered, delivered + failed),
        dead_letters: dead.total,
        failure_count: view.failureCount,
        last_delivery_at: isoOrNull(view.lastDeliveryAt),
      });
    },
  });

  addRoute(app, context, {
    method: 'GET',
    path: `${one}/dead-letters`,
    summary: 'Deliveries that used up their attempts',
    tags,
    access,
    query: pageQuery,
    answers: { 200: wire.list(shapes.deadLetter) },
    refusals: [404],
    async handler(request, reply) {
      const page = pageAsked(queryOf(request));
      const { workspace, webhook } = await shownWebhook(context, request, reply);
      const { items, total } = await listDeadLetters(db, workspace, webhook, page);
      return render.list(items.map(deadLetterOf), page, total);
    },
  });

  addRoute(app, context, {
    method: 'POST',
    path: `${one}/dead-letters/:delivery_id/redrive`,
    summary: 'Try a dead letter again',
    tags,
    access,
    answers: { 202: wire.one(shapes.redriven) },
    refusals: [404],
    async handler(request, reply) {
      const { actor } = callerOf(request);
      const { workspace, webhook } = await shownWebhook(context, request, reply);
      const id = param(request, 'delivery_id');
      const dead = /^del_[0-9a-f]{32}$/.test(id) ? await findDeadLetter(db, workspace, webhook, id) : null;
      if (!dead) throw notFound('Dead letter');
      const work = webhooks.redriveDelivery(actor, workspace, webhook, id);
      tellPosition(reply, (await orNotFound('Webhook', work)).position);
      reply.code(202);
      return render.one({ webhook_id: spelling.webhook(workspace, webhook), delivery_id: id });
    },
  });

  addRoute(app, context, {
    method: 'POST',
    path: `${one}/replay`,
    summary: 'Post past events once more',
    description:
      'Everything after a position, or since a time, up to now, by the `events` and `room_filters` of today, beside what ' +
      'happens meanwhile. Events keep their `id`.',
    tags,
    access,
    body: shapes.replayBody,
    answers: { 202: wire.one(shapes.replayAccepted) },
    refusals: [404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const { actor, workspace } = caller;
      const webhook = webhookOfPath(context, request, caller);
      const { from_position: position, since, until } = wire.readBody(shapes.replayBody, request.body);
      await orNotFound('Webhook', webhooks.webhook(workspace, webhook));
      const from = position == null ? null : await positionOf(freshness, 'from_position', String(position));
      const times = { since: timeOf(since), until: timeOf(until) };
      const asked = await orNotFound('Webhook', webhooks.requestReplay(actor, workspace, webhook, { from, ...times }));
      tellPosition(reply, asked.position);
      reply.code(202);
      return render.one({
        webhook_id: spelling.webhook(workspace, webhook),
        replay: asked.replay,
        from_position: from === null ? null : String(from),
        since: isoOrNull(times.since),
        until: isoOrNull(times.until),
      });
    },
  });
}

function deadLetterOf(view: DeliveryView) {
  return {
    delivery_id: view.delivery,
    event: view.event,
    position: String(view.position),
    attempts: view.attempts,
    status_code: view.status,
    error: view.error,
    last_attempt_at: iso(view.lastAttemptAt),
  };
}

function timeOf(text: string | null | undefined): number | null {
  return text == null ? null : Date.parse(text);
}
