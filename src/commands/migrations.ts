import type { Migration } from '../platform/migrate.ts';

const work = `
CREATE SCHEMA IF NOT EXISTS work;

CREATE TABLE work.counters (workspace int, kind smallint, last int NOT NULL, PRIMARY KEY (workspace, kind));
COMMENT ON TABLE work.counters IS 'Last id given per workspace and kind; rebuilt from the log when missing.';

CREATE UNLOGGED TABLE work.rate_windows (
  scope text COLLATE "C" PRIMARY KEY, used bigint NOT NULL, ends_at bigint NOT NULL, blocked boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE work.rate_windows IS 'Points taken in the current window of each rate limit; may be lost in a crash.';

CREATE TABLE work.quotas (
  workspace int, account int, month text COLLATE "C", granted bigint NOT NULL, PRIMARY KEY (workspace, account, month)
);
COMMENT ON TABLE work.quotas IS 'Sends given out to processes per account and month; never below what the log holds.';

CREATE FUNCTION work.take_points(a_scope text, a_points bigint, a_limit bigint, a_window bigint, a_block bigint, a_now bigint,
  OUT granted bigint, OUT used bigint, OUT ends_at bigint
) LANGUAGE plpgsql AS $$
DECLARE
  w work.rate_windows;
BEGIN
  INSERT INTO work.rate_windows (scope, used, ends_at) VALUES (a_scope, 0, a_now + a_window) ON CONFLICT DO NOTHING;
  SELECT * INTO w FROM work.rate_windows WHERE scope = a_scope FOR UPDATE;
  IF w.ends_at <= a_now THEN
    w.used := 0; w.ends_at := a_now + a_window; w.blocked := false;
  END IF;
  granted := greatest(0, least(a_points, a_limit - w.used));
  IF granted = 0 AND a_block > 0 AND NOT w.blocked THEN
    w.ends_at := a_now + a_block; w.blocked := true;
  END IF;
  used := w.used + granted;
  ends_at := w.ends_at;
  UPDATE work.rate_windows r SET used = take_points.used, ends_at = w.ends_at, blocked = w.blocked WHERE scope = a_scope;
END $$;

CREATE FUNCTION work.take_quota(a_workspace int, a_account int, a_month text, a_points bigint, a_limit bigint, a_counted bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  q bigint;
  taken bigint;
BEGIN
  INSERT INTO work.quotas VALUES (a_workspace, a_account, a_month, a_counted) ON CONFLICT DO NOTHING;
  SELECT granted INTO q FROM work.quotas WHERE workspace = a_workspace AND account = a_account AND month = a_month FOR UPDATE;
  taken := greatest(0, least(a_points, a_limit - q));
  IF taken > 0 THEN
    UPDATE work.quotas SET granted = q + taken WHERE workspace = a_workspace AND account = a_account AND month = a_month;
  END IF;
  RETURN taken;
END $$;
`;

const files = `
CREATE TABLE work.files (
  file int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  workspace int NOT NULL, account int NOT NULL, kind text COLLATE "C" NOT NULL, digest bytea NOT NULL, bytes bytea NOT NULL,
  shown boolean NOT NULL DEFAULT false, stored_at timestamptz NOT NULL DEFAULT now()
) WITH (
  -- What was erased is to leave the disk soon, however few they are.
  autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,
  toast.autovacuum_vacuum_threshold = 0, toast.autovacuum_vacuum_scale_factor = 0
);
-- Images are compressed as they come.
ALTER TABLE work.files ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE INDEX ON work.files (workspace, digest);
CREATE INDEX ON work.files (workspace, account);
CREATE INDEX ON work.files (stored_at) WHERE NOT shown;
COMMENT ON TABLE work.files IS 'Bytes of files that accounts stored; the log has their numbers alone.';
COMMENT ON COLUMN work.files.digest IS 'SHA-256 of the bytes: the name of the file is made from it.';
COMMENT ON COLUMN work.files.shown IS 'The event that names it has come.';
`;

/** What the command side keeps beside the log: counters, what limits count, and stored files. */
export const commandMigrations: readonly Migration[] = [
  { component: 'commands', number: 1, sql: work },
  { component: 'commands', number: 2, sql: files },
];
