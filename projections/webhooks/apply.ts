import { keyOf } from '../fold-table.ts';
import { type Projection, type Queryable, type RecordedEvent, tablesOf } from '../projection.ts';
import { DeliveryChanges } from './deliveries.ts';
import { type TrackRow, trackTable, type WebhookRow, webhookTable } from './rows.ts';

type WebhookEvent = RecordedEvent & {
  readonly type:
    | 'WebhookCreated'
    | 'WebhookChanged'
    | 'WebhookActivated'
    | 'WebhookDeactivated'
    | 'WebhookDeleted'
    | 'WebhookErased'
    | 'WebhookReplayRequested'
    | 'WebhookReplayFinished'
    | 'WebhookDeliveryRedriven'
    | 'WebhookAttemptsRecorded';
};

/** What is left of a deleted webhook. */
const blank = {
  url: null,
  events: null,
  header_names: null,
  room_filters: null,
  meta: null,
  is_active: null,
  activation: null,
  failure_count: null,
  failure_at: null,
  last_delivery_at: null,
  delivered: null,
  failed: null,
  created_position: null,
  created_at: null,
  updated_at: null,
  deleted: true,
};

/** The row after an event; null when it stays as it is. */
function evolve(row: WebhookRow | null, event: WebhookEvent): WebhookRow | null {
  const { workspace, webhook } = event.data;
  if (row?.erased) return null;
  if (event.type === 'WebhookErased') return { workspace, webhook, ...blank, erased: true };
  if (event.type === 'WebhookCreated') {
    const { url, events, headerNames, roomFilters, meta } = event.data;
    return {
      workspace,
      webhook,
      url,
      events,
      header_names: headerNames,
      room_filters: roomFilters,
      meta,
      is_active: true,
      activation: 0,
      failure_count: 0,
      failure_at: null,
      last_delivery_at: null,
      delivered: 0,
      failed: 0,
      created_position: String(event.position),
      created_at: event.at,
      updated_at: event.at,
      deleted: false,
      erased: false,
    };
  }
  if (!row || row.deleted) return null;
  switch (event.type) {
    case 'WebhookChanged': {
      const { url = row.url, events = row.events, meta = row.meta } = event.data;
      const { headerNames = row.header_names, roomFilters = row.room_filters } = event.data;
      return { ...row, url, events, meta, header_names: headerNames, room_filters: roomFilters, updated_at: event.at };
    }
    case 'WebhookActivated': {
      const activation = (row.activation ?? 0) + 1;
      return { ...row, is_active: true, activation, failure_count: 0, failure_at: null, updated_at: event.at };
    }
    case 'WebhookDeactivated':
      return { ...row, is_active: false, updated_at: event.at };
    case 'WebhookDeleted':
      return { ...row, ...blank };
    case 'WebhookAttemptsRecorded': {
      const { activation, failureCount, failureAt, lastAt, delivered, failed } = event.data;
      return {
        ...row,
        // What failed before it was made active again is no failure of today's.
        ...(activation === row.activation && { failure_count: failureCount, failure_at: failureAt }),
        last_delivery_at: Math.max(row.last_delivery_at ?? 0, lastAt),
        delivered: (row.delivered ?? 0) + delivered,
        failed: (row.failed ?? 0) + failed.length,
      };
    }
    default:
      return null;
  }
}

/** Webhooks and tracks of one batch, as they become. */
class Changes {
  readonly #webhooks: Map<string, WebhookRow>;
  readonly #tracks: Map<string, TrackRow>;
  readonly #deliveries: DeliveryChanges;

  constructor(webhooks: Map<string, WebhookRow>, tracks: Map<string, TrackRow>, deliveries: DeliveryChanges) {
    this.#webhooks = webhooks;
    this.#tracks = tracks;
    this.#deliveries = deliveries;
  }

  async take(event: WebhookEvent): Promise<void> {
    const { workspace, webhook } = event.data;
    const key = keyOf([workspace, webhook]);
    const before = this.#webhooks.get(key) ?? null;
    const after = evolve(before, event);
    if (after) this.#webhooks.set(key, after);
    if (event.type === 'WebhookErased' || event.type === 'WebhookDeleted') await this.#drop(workspace, webhook);
    if (!after?.deleted && (after ?? before)?.deleted === false) await this.#takeOfLiving(event);
  }

  async #takeOfLiving(event: WebhookEvent): Promise<void> {
    const { workspace, webhook } = event.data;
    switch (event.type) {
      case 'WebhookCreated':
        this.#begin(workspace, webhook, 0, String(event.position));
        return;
      case 'WebhookReplayRequested': {
        const { replay, from, since, until } = event.data;
        this.#begin(workspace, webhook, replay, from ?? '0', { ends_at: String(event.position), since, until });
        return;
      }
      case 'WebhookReplayFinished':
        this.#track(workspace, webhook, event.data.replay, (track) => ({ ...track, beyond: [], finished: true }));
        return;
      case 'WebhookActivated':
        await this.#deliveries.activate(workspace, webhook, event.at);
        return;
      case 'WebhookDeliveryRedriven':
        await this.#deliveries.redrive(workspace, webhook, event.data.delivery, event.at);
        return;
      case 'WebhookAttemptsRecorded':
        this.#deliveries.record(event.data);
        for (const { replay, upTo, beyond } of event.data.settled)
          this.#track(workspace, webhook, replay, (track) => settled(track, upTo, beyond));
    }
  }

  #begin(workspace: number, webhook: number, replay: number, upTo: string, more: Partial<TrackRow> = {}): void {
    const track = { beyond: [], ends_at: null, since: null, until: null, finished: false, ...more };
    this.#tracks.set(keyOf([workspace, webhook, replay]), { workspace, webhook, replay, up_to: upTo, ...track });
  }

  #track(workspace: number, webhook: number, replay: number, change: (track: TrackRow) => TrackRow): void {
    const key = keyOf([workspace, webhook, replay]);
    const track = this.#tracks.get(key);
    if (track && !track.finished) this.#tracks.set(key, change(track));
  }

  async #drop(workspace: number, webhook: number): Promise<void> {
    for (const [key, track] of this.#tracks)
      if (track.workspace === workspace && track.webhook === webhook) this.#tracks.delete(key);
    await this.#deliveries.drop(workspace, webhook);
  }

  async save(client: Queryable): Promise<void> {
    await this.#deliveries.flush();
    await webhookTable.save(client, [...this.#webhooks.values()]);
    await trackTable.save(client, [...this.#tracks.values()]);
  }
}

/** A track after more of it was settled. A record that comes late changes nothing back. */
function settled(track: TrackRow, upTo: string, beyond: readonly string[]): TrackRow {
  const highest = BigInt(upTo) > BigInt(track.up_to) ? upTo : track.up_to;
  const all = new Set([...track.beyond, ...beyond].map(BigInt).filter((position) => position > BigInt(highest)));
  const sorted = [...all].sort((a, b) => (a < b ? -1 : 1));
  return { ...track, up_to: highest, beyond: sorted.map(String) };
}

/** Webhooks, how far their deliveries have got, and what of them failed. */
export const webhooks: Projection = {
  name: 'webhooks',
  version: 1,
  readableFrom: 1,
  tables: tablesOf(import.meta.url),
  async apply(client, events) {
    const changes: WebhookEvent[] = [];
    for (const event of events) if (event.type.startsWith('Webhook')) changes.push(event as WebhookEvent);
    if (changes.length === 0) return;
    const rows = new Changes(
      await webhookTable.load(client, unique(changes.map(({ data }) => [data.workspace, data.webhook]))),
      await trackTable.load(client, unique(changes.flatMap(tracksOf))),
      new DeliveryChanges(client),
    );
    for (const event of changes) await rows.take(event);
    await rows.save(client);
  },
};

/** The tracks that an event is about. */
function tracksOf({ type, data }: WebhookEvent): (readonly number[])[] {
  const { workspace, webhook } = data;
  if (type === 'WebhookAttemptsRecorded') return data.settled.map(({ replay }) => [workspace, webhook, replay]);
  return type === 'WebhookReplayFinished' ? [[workspace, webhook, data.replay]] : [];
}

function unique(keys: readonly (readonly number[])[]): (readonly number[])[] {
  return [...new Map(keys.map((key) => [keyOf(key), key])).values()];
}
