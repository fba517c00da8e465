-- notifications_due serves what is due of one workspace and, by skipping, the workspaces that have anything.
CREATE TABLE notifications (
  notification text COLLATE "C" PRIMARY KEY,
  workspace integer NOT NULL,
  room integer,
  type text NOT NULL,
  status text NOT NULL,
  priority text NOT NULL,
  urgency integer NOT NULL,
  leaves_by text,
  due timestamptz,
  shown_position bigint,
  shown_at timestamptz,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  sent_at timestamptz,
  scheduled_for timestamptz,
  used integer NOT NULL,
  max_retries integer NOT NULL,
  erased boolean NOT NULL,
  subject text,
  content text,
  email jsonb,
  fallback jsonb,
  recipients jsonb,
  provider_type text,
  meta jsonb,
  error text,
  attempts jsonb
);
CREATE INDEX notifications_history ON notifications (workspace, created_at);
CREATE INDEX notifications_due ON notifications (workspace, urgency, due) WHERE due IS NOT NULL;
CREATE INDEX notifications_shown ON notifications (workspace, room, shown_position) WHERE shown_position IS NOT NULL;
CREATE INDEX notifications_erasable ON notifications (workspace) WHERE NOT erased;
COMMENT ON TABLE notifications IS 'Notifications: dispatches that leave by e-mail, to a room, or to URLs.';
COMMENT ON COLUMN notifications.status IS 'pending, processing, retrying, sent, failed or cancelled.';
COMMENT ON COLUMN notifications.urgency IS 'The place of its priority: 0 low, 1 normal, 2 high, 3 urgent.';
COMMENT ON COLUMN notifications.leaves_by IS 'Why it leaves by e-mail instead of to its room; null where it does not.';
COMMENT ON COLUMN notifications.due IS 'When it may be taken up; null when it is over.';
COMMENT ON COLUMN notifications.shown_position IS 'Where its being shown in its room stands in the log.';
COMMENT ON COLUMN notifications.used IS 'Rounds of attempts used up since it was accepted or a retry was asked for.';
COMMENT ON COLUMN notifications.attempts IS 'Attempts made, in their order: number, channel, provider, externalId, target, at, tookMs, error.';
COMMENT ON COLUMN notifications.erased IS 'A tombstone: addresses, texts and all that came from providers are gone.';

CREATE TABLE notification_days (
  workspace integer NOT NULL,
  day integer NOT NULL,
  room integer NOT NULL,
  type text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  fell_back boolean NOT NULL,
  notifications integer NOT NULL,
  PRIMARY KEY (workspace, day, room, type, status, fell_back)
) WITH (fillfactor = 50);
COMMENT ON TABLE notification_days IS 'How many notifications of each UTC day of acceptance stand at each status now, erased ones included.';
COMMENT ON COLUMN notification_days.day IS 'Days since 1970-01-01.';
COMMENT ON COLUMN notification_days.room IS 'The room that they are for; -1: none.';
COMMENT ON COLUMN notification_days.fell_back IS 'They left by e-mail instead of to their room.';
