/** The shapes on the wire of webhooks (sheet, section 13); see `wire.ts`. */
import { z } from 'zod';
import { webhookLimits, webhookProblems } from '../../commands/index.ts';
import { webhookEventNames } from './webhook-events.ts';
import { anyMeta, count, flag, id, isDeleted, judged, meta, text, time, words } from './wire.ts';

/** Shown in place of the value of a header, and taken for "as it is". */
export const hiddenValue = '********';

const url = words(webhookLimits.urlCharacters, 1).describe('http or https; what is not public is refused');
const events = z
  .array(words(100), { error: (issue) => (issue.input === undefined ? 'Field required' : 'Must be a list') })
  .describe(`Some of ${webhookEventNames.join(', ')}`);
const secret = words(webhookLimits.secretCharacters, 1);
const customHeaders = z
  .record(z.string(), words(webhookLimits.headerCharacters), { error: 'Must be an object' })
  .nullish();
const roomFilters = z.array(z.string({ error: 'Must be a UUID' }), { error: 'Must be a list' }).nullish();

const eventNames: ReadonlySet<string> = new Set(webhookEventNames);
type Fields = Omit<Partial<z.output<typeof changeFields>>, 'secret'> & { readonly secret?: string | null | undefined };

/** The rules' word where some fields are not well-formed; where all are, the commands judge them. */
function judge(fields: Fields, wrong: ReadonlySet<string>) {
  const { url, events, secret, custom_headers: customHeaders } = fields;
  return wrong.size === 0 ? [] : webhookProblems({ url, events, secret, customHeaders }, eventNames);
}

const createFields = z.object({
  url,
  events,
  secret: secret.nullish().describe('Default: one is generated'),
  custom_headers: customHeaders,
  room_filters: roomFilters.describe('Only events of these rooms, and those of none'),
  meta: meta.nullish(),
});
const changeFields = z.object({
  url: url.optional(),
  events: events.optional(),
  secret: secret.optional(),
  custom_headers: customHeaders.describe(`All of them; ${hiddenValue} keeps the value of one`),
  room_filters: roomFilters,
  meta: meta.nullish(),
  is_active: flag.optional(),
});
export const createWebhookBody = judged(createFields, judge);
export const changeWebhookBody = judged(changeFields, judge);
export const replayBody = z.object({
  from_position: z
    .union([z.string(), z.int().min(0)], { error: 'Must be a position' })
    .nullish()
    .describe('Everything after it'),
  since: z.iso.datetime({ offset: true, error: 'Must be a time of ISO 8601' }).nullish(),
  until: z.iso.datetime({ offset: true, error: 'Must be a time of ISO 8601' }).nullish(),
});

export const webhookShown = z
  .object({
    id,
    client_id: id,
    url: z.string(),
    events: z.array(z.string()),
    is_active: z.boolean(),
    custom_headers: z.record(z.string(), z.string()).describe(`Values read ${hiddenValue}`),
    room_filters: z.array(id),
    meta: anyMeta,
    last_delivery_at: time.nullable(),
    failure_count: count,
    created_at: time,
    updated_at: time,
  })
  .meta({ id: 'Webhook' });
export const webhookCreated = webhookShown
  .extend({
    secret: z.string().describe('Shown to this request and its repetitions alone'),
    created_at: time.nullable().describe('Null of one that is gone'),
    updated_at: time.nullable().describe('Null of one that is gone'),
    is_deleted: isDeleted,
  })
  .meta({ id: 'WebhookCreated' });
export const webhookTested = z.object({
  success: z.boolean(),
  status_code: z.int().nullable(),
  error: text,
  response_time_ms: z.number().min(0),
});
export const webhookAnalytics = z.object({
  webhook_id: id,
  total_deliveries: count.describe('Attempts'),
  successful_deliveries: count,
  failed_deliveries: count,
  success_rate: z.number().min(0).max(100).describe('Percent'),
  dead_letters: count,
  failure_count: count,
  last_delivery_at: time.nullable(),
});
export const deadLetter = z.object({
  delivery_id: z.string(),
  event: z.string(),
  position: z.string(),
  attempts: count,
  status_code: z.int().nullable(),
  error: z.string(),
  last_attempt_at: time,
});
export const redriven = z.object({ webhook_id: id, delivery_id: z.string() });
export const replayAccepted = z.object({
  webhook_id: id,
  replay: count,
  from_position: text,
  since: time.nullable(),
  until: time.nullable(),
});
