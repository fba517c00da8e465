import { findThing, type ThingTable } from '../in-workspace.ts';
import { listed } from '../listed.ts';
import type { Listed, Page, Queryable } from '../projection.ts';
import { living, ms } from '../sql.ts';

/** A webhook as it can be read. Times are milliseconds since the epoch. */
export interface WebhookView {
  readonly workspace: number;
  readonly webhook: number;
  readonly url: string;
  readonly events: readonly string[];
  /** Names alone; the values are sealed. */
  readonly headerNames: readonly string[];
  readonly roomFilters: readonly number[];
  readonly meta: Readonly<Record<string, unknown>> | null;
  readonly isActive: boolean;
  readonly failureCount: number;
  readonly lastDeliveryAt: number | null;
  /** Attempts that succeeded, and that did not. */
  readonly delivered: number;
  readonly failed: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

const columns = `h.workspace, h.webhook, h.url, h.events, h.header_names AS "headerNames",
  h.room_filters AS "roomFilters", h.meta, h.is_active AS "isActive", h.failure_count AS "failureCount",
  ${ms('h.last_delivery_at')} AS "lastDeliveryAt", h.delivered, h.failed,
  ${ms('h.created_at')} AS "createdAt", ${ms('h.updated_at')} AS "updatedAt"`;

const things: ThingTable = { table: 'webhooks', as: 'h', id: 'webhook', columns };

/** One webhook that was not deleted, or null. */
export function findWebhook(db: Queryable, workspace: number, webhook: number): Promise<WebhookView | null> {
  return findThing<WebhookView>(db, things, workspace, webhook);
}

/** What a list of webhooks is narrowed to. */
export interface WebhookFilter {
  readonly isActive?: boolean;
  /** Those that ask for this event. */
  readonly event?: string;
  /** `created_at`, newest first, unless told. */
  readonly order?: 'asc' | 'desc';
}

/** A workspace's webhooks. */
export function listWebhooks(
  db: Queryable,
  workspace: number,
  page: Page,
  { isActive, event, order = 'desc' }: WebhookFilter = {},
): Promise<Listed<WebhookView>> {
  const those = `FROM webhooks h WHERE h.workspace = $1 AND NOT h.deleted AND ${living('$1')}
    AND ($2::bool IS NULL OR h.is_active = $2) AND ($3::text IS NULL OR h.events ? $3)`;
  const values = [workspace, isActive ?? null, event ?? null];
  const direction = order === 'asc' ? 'ASC' : 'DESC';
  const by = `h.created_at ${direction}, h.webhook ${direction}`;
  return listed(db, { columns, those, order: by, values }, page);
}

/** The number of the first webhook of a workspace that posts to a URL; null without one. */
export async function webhookByUrl(db: Queryable, workspace: number, url: string): Promise<number | null> {
  const { rows } = await db.query<{ webhook: number }>({
    text: `SELECT h.webhook FROM webhooks h WHERE h.workspace = $1 AND h.url = $2 AND NOT h.deleted AND ${living('$1')}
      ORDER BY h.webhook LIMIT 1`,
    values: [workspace, url],
  });
  return rows[0]?.webhook ?? null;
}

/** A delivery that failed. Times are milliseconds since the epoch. */
export interface DeliveryView {
  readonly delivery: string;
  readonly workspace: number;
  readonly webhook: number;
  /** The replay it belongs to, 0 for none. */
  readonly replay: number;
  readonly position: bigint;
  readonly stream: string;
  readonly revision: number;
  readonly event: string;
  readonly attempts: number;
  /** Attempts since the webhook was made active or the delivery redriven. */
  readonly used: number;
  readonly lastAttemptAt: number;
  readonly status: number | null;
  readonly error: string;
  /** Null for a dead letter. */
  readonly due: number | null;
}

const deliveryColumns = `d.delivery, d.workspace, d.webhook, d.replay, d.position, d.stream, d.revision, d.event,
  d.attempts, d.used, ${ms('d.last_attempt_at')} AS "lastAttemptAt", d.status, d.error, ${ms('d.due')} AS due`;

type DeliveryRow = Omit<DeliveryView, 'position'> & { position: string };

function delivery(row: DeliveryRow): DeliveryView {
  return { ...row, position: BigInt(row.position) };
}

/** A webhook's dead letters, the latest first. */
export async function listDeadLetters(
  db: Queryable,
  workspace: number,
  webhook: number,
  page: Page,
): Promise<Listed<DeliveryView>> {
  const those = 'FROM webhook_deliveries d WHERE d.workspace = $1 AND d.webhook = $2 AND d.dead_at IS NOT NULL';
  const query = { columns: deliveryColumns, those, order: 'd.dead_at DESC, d.delivery', values: [workspace, webhook] };
  const { items, total } = await listed<DeliveryRow>(db, query, page);
  return { items: items.map(delivery), total };
}

/** One dead letter of a webhook, or null. */
export async function findDeadLetter(
  db: Queryable,
  workspace: number,
  webhook: number,
  id: string,
): Promise<DeliveryView | null> {
  const { rows } = await db.query<DeliveryRow>({
    text: `SELECT ${deliveryColumns} FROM webhook_deliveries d
      WHERE d.delivery = $3 AND d.workspace = $1 AND d.webhook = $2 AND d.dead_at IS NOT NULL`,
    values: [workspace, webhook, id],
  });
  return rows[0] ? delivery(rows[0]) : null;
}

/** Deliveries of a webhook whose next attempt may begin, the earliest first, without those given; and when the next one's may. */
export async function dueDeliveries(
  db: Queryable,
  { workspace, webhook, nowMs, without, limit }: DueOptions,
): Promise<{ due: DeliveryView[]; nextDue: number | null }> {
  const { rows } = await db.query<DeliveryRow>({
    text: `SELECT ${deliveryColumns} FROM webhook_deliveries d
      WHERE d.workspace = $1 AND d.webhook = $2 AND d.due IS NOT NULL AND NOT d.delivery = ANY ($3::text[])
      ORDER BY d.due, d.delivery LIMIT $4`,
    values: [workspace, webhook, without, limit + 1],
  });
  const due = rows.slice(0, limit).filter((row) => row.due !== null && row.due <= nowMs);
  return { due: due.map(delivery), nextDue: rows[due.length]?.due ?? null };
}

/** What is asked of `dueDeliveries`. */
export interface DueOptions {
  readonly workspace: number;
  readonly webhook: number;
  readonly nowMs: number;
  readonly without: readonly string[];
  readonly limit: number;
}

/** Where a webhook's deliveries stand, for whoever takes them up. Times are milliseconds since the epoch. */
export interface WebhookStanding {
  readonly activation: number;
  readonly failureCount: number;
  readonly failureAt: number | null;
  /** Deliveries that wait for another attempt. */
  readonly open: number;
  readonly tracks: readonly {
    readonly replay: number;
    readonly upTo: bigint;
    readonly beyond: readonly bigint[];
    /** Null for the webhook's own. */
    readonly endsAt: bigint | null;
    readonly since: number | null;
    readonly until: number | null;
  }[];
}

type TrackJson = {
  replay: number;
  upTo: string;
  beyond: string[];
  endsAt: string | null;
  since: number;
  until: number;
};

/** The standing of a webhook that is active; null for any other. */
export async function webhookStanding(
  db: Queryable,
  workspace: number,
  webhook: number,
): Promise<WebhookStanding | null> {
  const { rows } = await db.query<Omit<WebhookStanding, 'tracks'> & { tracks: TrackJson[] }>({
    text: `SELECT h.activation, h.failure_count AS "failureCount", ${ms('h.failure_at')} AS "failureAt",
        (SELECT count(*)::int FROM webhook_deliveries d
          WHERE d.workspace = $1 AND d.webhook = $2 AND d.due IS NOT NULL) AS open,
        (SELECT json_agg(json_build_object('replay', k.replay, 'upTo', k.up_to::text, 'beyond', k.beyond, 'endsAt', k.ends_at::text,
            'since', ${ms('k.since')}, 'until', ${ms('k.until')}) ORDER BY k.replay)
          FROM webhook_tracks k WHERE k.workspace = $1 AND k.webhook = $2 AND NOT k.finished) AS tracks
      FROM webhooks h WHERE h.workspace = $1 AND h.webhook = $2 AND h.is_active AND ${living('$1')}`,
    values: [workspace, webhook],
  });
  const [row] = rows;
  if (!row) return null;
  const tracks = row.tracks.map(({ upTo, beyond, endsAt, ...rest }) => ({
    ...rest,
    upTo: BigInt(upTo),
    beyond: beyond.map(BigInt),
    endsAt: endsAt === null ? null : BigInt(endsAt),
  }));
  return { ...row, tracks };
}

/** A webhook, by its workspace. */
export interface WebhookRef {
  readonly workspace: number;
  readonly webhook: number;
}

/** Every webhook that is active. */
export async function activeWebhooks(db: Queryable): Promise<WebhookRef[]> {
  const { rows } = await db.query<WebhookRef>({
    text: `SELECT workspace, webhook FROM webhooks h WHERE is_active AND ${living('h.workspace')}`,
  });
  return rows;
}
