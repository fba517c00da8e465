CREATE TABLE webhooks (
  workspace integer NOT NULL,
  webhook integer NOT NULL,
  url text,
  events jsonb,
  header_names jsonb,
  room_filters jsonb,
  meta jsonb,
  is_active boolean,
  activation integer,
  failure_count integer,
  failure_at timestamptz,
  last_delivery_at timestamptz,
  delivered integer,
  failed integer,
  created_position bigint,
  created_at timestamptz,
  updated_at timestamptz,
  deleted boolean NOT NULL,
  erased boolean NOT NULL,
  PRIMARY KEY (workspace, webhook)
);
CREATE INDEX webhooks_active ON webhooks (workspace, webhook) WHERE is_active;
CREATE INDEX webhooks_to_erase ON webhooks (workspace, webhook) WHERE deleted AND NOT erased;
COMMENT ON TABLE webhooks IS 'Webhooks: endpoints that events of a workspace are posted to. Their secrets and the values of their headers stand only in the log, sealed.';
COMMENT ON COLUMN webhooks.room_filters IS 'Rooms, by number, whose events are sent; empty: of all. Events without a room are always sent.';
COMMENT ON COLUMN webhooks.activation IS 'How often it was made active again.';
COMMENT ON COLUMN webhooks.failure_count IS 'Failures in a row, counted once in 30 s; at 5 it is switched off.';
COMMENT ON COLUMN webhooks.failure_at IS 'When failure_count rose last.';
COMMENT ON COLUMN webhooks.last_delivery_at IS 'When the last attempt ended, however it ended.';
COMMENT ON COLUMN webhooks.delivered IS 'Attempts that succeeded; failed: those that did not.';
COMMENT ON COLUMN webhooks.created_position IS 'Position of its creation: what stands after it is delivered.';
COMMENT ON COLUMN webhooks.deleted IS 'It does not exist for any reader.';
COMMENT ON COLUMN webhooks.erased IS 'A tombstone: the content is gone.';

CREATE TABLE webhook_tracks (
  workspace integer NOT NULL,
  webhook integer NOT NULL,
  replay integer NOT NULL,
  up_to bigint NOT NULL,
  beyond jsonb NOT NULL,
  ends_at bigint,
  since timestamptz,
  until timestamptz,
  finished boolean NOT NULL,
  PRIMARY KEY (workspace, webhook, replay)
);
CREATE INDEX webhook_tracks_open ON webhook_tracks (workspace, webhook) WHERE NOT finished;
COMMENT ON TABLE webhook_tracks IS 'How far first attempts have got through the log, per webhook (replay 0) and per replay.';
COMMENT ON COLUMN webhook_tracks.up_to IS 'Everything up to this position is settled: it was delivered, or stands in webhook_deliveries.';
COMMENT ON COLUMN webhook_tracks.beyond IS 'Positions after up_to that are settled too.';
COMMENT ON COLUMN webhook_tracks.ends_at IS 'The last position of a replay: where it was asked for.';
COMMENT ON COLUMN webhook_tracks.since IS 'Only events of this time and later; until: of that time and earlier.';

CREATE TABLE webhook_deliveries (
  delivery text COLLATE "C" PRIMARY KEY,
  workspace integer NOT NULL,
  webhook integer NOT NULL,
  replay integer NOT NULL,
  position bigint NOT NULL,
  stream text COLLATE "C" NOT NULL,
  revision integer NOT NULL,
  event text NOT NULL,
  attempts integer NOT NULL,
  used integer NOT NULL,
  last_attempt_at timestamptz NOT NULL,
  status integer,
  error text NOT NULL,
  due timestamptz,
  dead_at timestamptz
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (workspace, webhook, due) WHERE due IS NOT NULL;
CREATE INDEX webhook_deliveries_dead ON webhook_deliveries (workspace, webhook, dead_at) WHERE dead_at IS NOT NULL;
COMMENT ON TABLE webhook_deliveries IS 'Deliveries that failed and are not over: those to be tried again, and dead letters. Without content: that is read from the log again.';
COMMENT ON COLUMN webhook_deliveries.position IS 'Where the event stands in the log; stream and revision say the same within its stream.';
COMMENT ON COLUMN webhook_deliveries.attempts IS 'Attempts made in all; used: those since the webhook was made active or the delivery redriven.';
COMMENT ON COLUMN webhook_deliveries.status IS 'HTTP status of the last attempt, null when there was no answer.';
COMMENT ON COLUMN webhook_deliveries.due IS 'When the next attempt may begin, while the webhook is active; null for a dead letter.';
