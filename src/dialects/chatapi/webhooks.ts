import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { findWebhook, listWebhooks, type WebhookView } from '../../../projections/webhooks/queries.ts';
import type { Changed, WebhookChanges, WebhookInput, WebhookState } from '../../commands/index.ts';
import { type Context, keyedBy, known, orNotFound } from './context.ts';
import { type Caller, callerOf } from './credentials.ts';
import { notFound } from './errors.ts';
import { listQuery, pageAsked, queryFlag, queryOf, readAll, sortAsked, waitForRows, wordAsked } from './reading.ts';
import type { Renderer } from './rendering.ts';
import { addRoute, iso, isoOrNull, param, tellPosition } from './routes.ts';
import { webhookEventNames } from './webhook-events.ts';
import * as shapes from './webhook-wire.ts';
import * as wire from './wire.ts';

const tags = ['Webhooks'];
const access = { who: 'master' } as const;
const columns = { created_at: 'created' } as const;
const one = '/webhooks/:webhook_id';

/** Routes of the sheet's section 13 about endpoints. Those about their deliveries: `webhook-deliveries.ts`. */
export function webhookRoutes(app: FastifyInstance, context: Context, render: Renderer): void {
  const { webhooks, db, freshness } = context.options;
  const show = new WebhookRenderer(context);

  addRoute(app, context, {
    method: 'POST',
    path: '/webhooks',
    summary: 'Create a webhook',
    description: 'What happens from here on is posted to it, signed. The answer shows the secret.',
    tags,
    access,
    keyed: true,
    body: shapes.createWebhookBody,
    answers: { 201: wire.one(shapes.webhookCreated) },
    refusals: [404],
    async handler(request, reply) {
      const { actor, workspace } = callerOf(request);
      const keyed = keyedBy(request, 'POST /webhooks');
      const body = wire.readBody(shapes.createWebhookBody, request.body);
      const input: WebhookInput = {
        url: body.url,
        events: body.events,
        secret: body.secret ?? null,
        customHeaders: body.custom_headers ?? {},
        roomFilters: roomsOf(context, workspace, body.room_filters),
        meta: body.meta ?? null,
      };
      const { webhook, state, secret, position } = await webhooks.createOnce(actor, input, keyed);
      tellPosition(reply, position);
      reply.code(201);
      // What the key made is gone again: nothing is left of it.
      if (!state.exists) return render.one({ ...show.gone(workspace, webhook), secret });
      return render.one({ ...show.written(state, null), secret });
    },
  });

  addRoute(app, context, {
    method: 'GET',
    path: '/webhooks',
    summary: 'List the webhooks',
    tags,
    access,
    query: listQuery(columns).extend({
      is_active: z.boolean().optional(),
      event: z.enum(webhookEventNames).optional().describe('Those that ask for it'),
    }),
    answers: { 200: wire.list(shapes.webhookShown) },
    async handler(request, reply) {
      const caller = callerOf(request);
      const query = queryOf(request);
      const { page, sorted, isActive, event } = readAll({
        page: () => pageAsked(query),
        sorted: () => sortAsked(query, columns),
        isActive: () => queryFlag(query, 'is_active'),
        event: () => wordAsked(query, 'event', webhookEventNames),
      });
      const { order } = sorted;
      await waitForRows(freshness, caller, reply);
      const filter = { order, ...(isActive !== undefined && { isActive }), ...(event !== undefined && { event }) };
      const { items, total } = await listWebhooks(db, caller.workspace, page, filter);
      return render.list(
        items.map((view) => show.webhook(view)),
        page,
        total,
      );
    },
  });

  addRoute(app, context, {
    method: 'GET',
    path: one,
    summary: 'A webhook',
    tags,
    access,
    answers: { 200: wire.one(shapes.webhookShown) },
    refusals: [404],
    handler: async (request, reply) => render.one(show.webhook(await shownWebhook(context, request, reply))),
  });

  addRoute(app, context, {
    method: 'PUT',
    path: one,
    summary: 'Change a webhook',
    description: 'Made active, it gets what was open and what happened meanwhile.',
    tags,
    access,
    body: shapes.changeWebhookBody,
    answers: { 200: wire.one(shapes.webhookShown) },
    refusals: [404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const webhook = webhookOfPath(context, request, caller);
      const body = wire.readBody(shapes.changeWebhookBody, request.body);
      return changed(caller, webhook, changesOf(context, caller.workspace, body), reply);
    },
  });

  for (const [word, isActive, summary] of [
    ['activate', true, 'Make a webhook active'],
    ['deactivate', false, 'Switch a webhook off: nothing is sent, and nothing is lost'],
  ] as const) {
    addRoute(app, context, {
      method: 'POST',
      path: `${one}/${word}`,
      summary,
      tags,
      access,
      answers: { 200: wire.one(shapes.webhookShown) },
      refusals: [404],
      async handler(request, reply) {
        const caller = callerOf(request);
        return changed(caller, webhookOfPath(context, request, caller), { isActive }, reply);
      },
    });
  }

  addRoute(app, context, {
    method: 'DELETE',
    path: one,
    summary: 'Delete a webhook',
    tags,
    access,
    answers: { 204: wire.nothing },
    refusals: [404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const { actor, workspace } = caller;
      const webhook = webhookOfPath(context, request, caller);
      tellPosition(reply, await orNotFound('Webhook', webhooks.deleteWebhook(actor, workspace, webhook)));
      return reply.code(204).send();
    },
  });

  async function changed(caller: Caller, webhook: number, changes: WebhookChanges, reply: FastifyReply) {
    const { actor, workspace } = caller;
    const work: Promise<Changed<WebhookState>> = webhooks.changeWebhook(actor, workspace, webhook, changes);
    const { state, position } = await orNotFound('Webhook', work);
    tellPosition(reply, position);
    return render.one(show.written(state, await findWebhook(db, workspace, webhook)));
  }
}

/** Shows webhooks. */
class WebhookRenderer {
  readonly #spelling: Context['spelling'];

  constructor({ spelling }: Context) {
    this.#spelling = spelling;
  }

  /** From rows. */
  webhook(view: Omit<WebhookView, 'delivered' | 'failed'>) {
    const { workspace, events, headerNames, roomFilters } = view;
    return {
      id: this.#spelling.webhook(workspace, view.webhook),
      client_id: this.#spelling.client(workspace),
      url: view.url,
      events,
      is_active: view.isActive,
      custom_headers: Object.fromEntries(headerNames.map((name) => [name, shapes.hiddenValue])),
      room_filters: roomFilters.map((room) => this.#spelling.room(workspace, room)),
      meta: view.meta,
      last_delivery_at: isoOrNull(view.lastDeliveryAt),
      failure_count: view.failureCount,
      created_at: iso(view.createdAt),
      updated_at: iso(view.updatedAt),
    };
  }

  /** As it was just written; what became of its deliveries only rows know. */
  written(state: WebhookState, row: WebhookView | null) {
    const { lastDeliveryAt = null, failureCount = 0 } = row ?? {};
    // Made active, it begins anew.
    const begins = state.isActive && row?.isActive === false;
    return this.webhook({ ...state, lastDeliveryAt, failureCount: begins ? 0 : failureCount });
  }

  /** What a repetition is answered that finds it deleted: its id, and the shape of the first answer. */
  gone(workspace: number, webhook: number) {
    return {
      id: this.#spelling.webhook(workspace, webhook),
      client_id: this.#spelling.client(workspace),
      url: '',
      events: [],
      is_active: false,
      custom_headers: {},
      room_filters: [],
      meta: null,
      last_delivery_at: null,
      failure_count: 0,
      created_at: null,
      updated_at: null,
      is_deleted: true,
    };
  }
}

type ChangeBody = z.output<typeof shapes.changeWebhookBody>;

function changesOf(context: Context, workspace: number, body: ChangeBody): WebhookChanges {
  const { url, events, secret, custom_headers: headers, room_filters: rooms, meta, is_active: isActive } = body;
  return {
    url,
    events,
    secret,
    meta,
    isActive,
    ...(rooms !== undefined && { roomFilters: roomsOf(context, workspace, rooms) }),
    ...(headers !== undefined && { customHeaders: headersAsked(headers ?? {}) }),
  };
}

function headersAsked(headers: Readonly<Record<string, string>>): Record<string, string | null> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, value === shapes.hiddenValue ? null : value]),
  );
}

/** Rooms by number. Throws 404 for what is no room of this client. */
function roomsOf({ spelling }: Context, workspace: number, ids: readonly string[] | null | undefined): number[] {
  return [...new Set((ids ?? []).map((id) => known(spelling.readRoom(workspace, id), 'Room')))];
}

/** The webhook that the path names. */
export function webhookOfPath({ spelling }: Context, request: FastifyRequest, { workspace }: Caller): number {
  return known(spelling.readWebhook(workspace, param(request, 'webhook_id')), 'Webhook');
}

/** Its row, once that is fresh. Throws 404. */
export async function shownWebhook(
  context: Context,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<WebhookView> {
  const caller = callerOf(request);
  const webhook = webhookOfPath(context, request, caller);
  const { db, freshness } = context.options;
  await waitForRows(freshness, caller, reply);
  const view = await findWebhook(db, caller.workspace, webhook);
  if (!view) throw notFound('Webhook');
  return view;
}
