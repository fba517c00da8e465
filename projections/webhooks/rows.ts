import { foldTable } from '../fold-table.ts';

/** A webhook as its row has it. Times are milliseconds since the epoch; what is null is not known of a deleted one. */
export type WebhookRow = {
  readonly workspace: number;
  readonly webhook: number;
  readonly url: string | null;
  readonly events: readonly string[] | null;
  readonly header_names: readonly string[] | null;
  readonly room_filters: readonly number[] | null;
  readonly meta: Readonly<Record<string, unknown>> | null;
  readonly is_active: boolean | null;
  readonly activation: number | null;
  readonly failure_count: number | null;
  readonly failure_at: number | null;
  readonly last_delivery_at: number | null;
  readonly delivered: number | null;
  readonly failed: number | null;
  readonly created_position: string | null;
  readonly created_at: number | null;
  readonly updated_at: number | null;
  readonly deleted: boolean;
  readonly erased: boolean;
};

/** Where first attempts stand, per webhook and replay. Positions are spelled. */
export type TrackRow = {
  readonly workspace: number;
  readonly webhook: number;
  readonly replay: number;
  readonly up_to: string;
  readonly beyond: readonly string[];
  readonly ends_at: string | null;
  readonly since: number | null;
  readonly until: number | null;
  readonly finished: boolean;
};

export const webhookTable = foldTable<WebhookRow>(
  'webhooks',
  2,
  {
    workspace: 'int',
    webhook: 'int',
    url: 'text',
    events: 'json',
    header_names: 'json',
    room_filters: 'json',
    meta: 'json',
    is_active: 'bool',
    activation: 'int',
    failure_count: 'int',
    failure_at: 'time',
    last_delivery_at: 'time',
    delivered: 'int',
    failed: 'int',
    created_position: 'position',
    created_at: 'time',
    updated_at: 'time',
    deleted: 'bool',
    erased: 'bool',
  },
  { erasable: true },
);

export const trackTable = foldTable<TrackRow>(
  'webhook_tracks',
  3,
  {
    workspace: 'int',
    webhook: 'int',
    replay: 'int',
    up_to: 'position',
    beyond: 'json',
    ends_at: 'position',
    since: 'time',
    until: 'time',
    finished: 'bool',
  },
  { erasable: false },
);
