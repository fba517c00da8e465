import type { Migration } from '../platform/migrate.ts';

const events = `
CREATE SCHEMA log;

CREATE TABLE log.head (
  one boolean PRIMARY KEY DEFAULT true CHECK (one), position bigint NOT NULL, erasures bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);
COMMENT ON COLUMN log.head.erasures IS 'How many streams were erased so far: tells a process that what it keeps in memory is out of date.';
INSERT INTO log.head (position) VALUES (0);

CREATE TABLE log.events (
  position bigint PRIMARY KEY,
  commit_id uuid NOT NULL,
  at bigint NOT NULL,
  revision integer NOT NULL,
  index smallint NOT NULL,
  version smallint NOT NULL,
  stream text COLLATE "C" NOT NULL,
  type text COLLATE "C" NOT NULL,
  data text,
  meta text
);
CREATE UNIQUE INDEX events_stream_revision ON log.events (stream, revision);
COMMENT ON TABLE log.events IS 'Every event, in order. data is JSON, null once erased; at is milliseconds since the epoch.';

CREATE TABLE log.claims (
  name text COLLATE "C" PRIMARY KEY,
  stream text COLLATE "C" NOT NULL,
  made text,
  at_least_until bigint,
  stream_closed boolean NOT NULL DEFAULT false
);
CREATE INDEX claims_stream ON log.claims (stream);
COMMENT ON TABLE log.claims IS 'Names that one stream holds alone.';
`;

/**
 * One call appends a flush: commits for different streams, names of claims and releases all different (the caller sees
 * to both). Answers the position before the flush, and per refused or replayed commit one verdict; null when all were written.
 * The head row is locked first and held to the end of the transaction, so positions become visible in order and without gaps.
 */
const append = `
CREATE FUNCTION log.append(
  c_stream text[], c_expected int[], c_count int[], c_commit text[], c_at bigint[], c_meta text[],
  e_commit int[], e_index int[], e_type text[], e_version int[], e_data text[],
  k_commit int[], k_name text[], k_made text[], k_until bigint[],
  r_commit int[], r_name text[],
  OUT base bigint, OUT erased bigint, OUT verdicts jsonb
) LANGUAGE plpgsql AS $$
DECLARE
  trouble boolean;
  refused int[] := '{}';
  written bigint;
BEGIN
  SELECT position, erasures INTO base, erased FROM log.head FOR UPDATE;

  SELECT bool_or(coalesce(l.revision, -1) <> u.expected OR coalesce(l.closed, false)) INTO trouble
    FROM unnest(c_stream, c_expected) AS u(stream, expected)
    LEFT JOIN LATERAL (
      SELECT e.revision, e.data IS NULL AS closed FROM log.events e WHERE e.stream = u.stream ORDER BY e.revision DESC LIMIT 1
    ) l ON true;

  IF trouble THEN
    SELECT jsonb_agg(jsonb_build_object('ord', u.ord, 'is', CASE WHEN r.revision IS NULL THEN 'conflict' ELSE 'replayed' END,
             'position', r.position::text, 'revision', coalesce(r.revision, l.revision, -1))), array_agg(u.ord::int)
      INTO verdicts, refused
      FROM unnest(c_stream, c_expected, c_count, c_commit) WITH ORDINALITY AS u(stream, expected, count, commit, ord)
      LEFT JOIN LATERAL (
        SELECT e.revision, e.data IS NULL AS closed FROM log.events e WHERE e.stream = u.stream ORDER BY e.revision DESC LIMIT 1
      ) l ON true
      LEFT JOIN LATERAL (
        SELECT e.revision, e.position FROM log.events e
         WHERE e.stream = u.stream AND e.revision = u.expected + u.count AND e.commit_id = u.commit::uuid
      ) r ON true
     WHERE coalesce(l.revision, -1) <> u.expected OR coalesce(l.closed, false);
  END IF;

  IF cardinality(k_name) > 0 THEN
    SELECT coalesce(verdicts, '[]') || coalesce(jsonb_agg(jsonb_build_object('ord', t.ord, 'is', 'taken',
             'name', t.name, 'stream', t.stream, 'made', t.made)), '[]'), refused || coalesce(array_agg(t.ord), '{}')
      INTO verdicts, refused
      FROM (
        SELECT DISTINCT ON (k.ord) k.ord, c.name, c.stream, c.made
          FROM unnest(k_commit, k_name) AS k(ord, name)
          JOIN log.claims c ON c.name = k.name
         WHERE c.stream <> c_stream[k.ord] AND k.ord <> ALL (refused)
           AND (NOT c.stream_closed OR c.at_least_until > c_at[k.ord])
         ORDER BY k.ord, c.name
      ) t;
    INSERT INTO log.claims AS c (name, stream, made, at_least_until)
      SELECT k.name, c_stream[k.ord], k.made, k.until
        FROM unnest(k_commit, k_name, k_made, k_until) AS k(ord, name, made, until)
       WHERE k.ord <> ALL (refused)
      ON CONFLICT (name) DO UPDATE
        SET stream = excluded.stream, made = excluded.made, at_least_until = excluded.at_least_until, stream_closed = false;
  END IF;

  IF cardinality(r_name) > 0 THEN
    DELETE FROM log.claims c USING unnest(r_commit, r_name) AS r(ord, name)
     WHERE c.name = r.name AND c.stream = c_stream[r.ord] AND r.ord <> ALL (refused);
  END IF;

  IF cardinality(refused) = 0 THEN
    -- Nothing refused: events stand in the order of their commits, so places are row numbers.
    -- (A join: subscripts of an array of texts walk it from its start.)
    INSERT INTO log.events (position, commit_id, at, revision, index, version, stream, type, data, meta)
      SELECT base + e.ord, c.commit::uuid, c.at, c.expected + e.index + 1, e.index, e.version, c.stream, e.type, e.data, c.meta
        FROM unnest(e_commit, e_index, e_type, e_version, e_data) WITH ORDINALITY AS e(commit, index, type, version, data, ord)
        JOIN unnest(c_stream, c_expected, c_commit, c_at, c_meta) WITH ORDINALITY AS c(stream, expected, commit, at, meta, ord)
          ON c.ord = e.commit;
  ELSE
    INSERT INTO log.events (position, commit_id, at, revision, index, version, stream, type, data, meta)
      SELECT base + row_number() OVER (ORDER BY e.ord), c.commit::uuid, c.at, c.expected + e.index + 1, e.index, e.version,
             c.stream, e.type, e.data, c.meta
        FROM unnest(e_commit, e_index, e_type, e_version, e_data) WITH ORDINALITY AS e(commit, index, type, version, data, ord)
        JOIN unnest(c_stream, c_expected, c_commit, c_at, c_meta) WITH ORDINALITY AS c(stream, expected, commit, at, meta, ord)
          ON c.ord = e.commit
       WHERE e.commit <> ALL (refused);
  END IF;
  GET DIAGNOSTICS written = ROW_COUNT;

  IF written > 0 THEN
    UPDATE log.head SET position = base + written;
    PERFORM pg_notify('parley_log', (base + written)::text);
  END IF;
  IF verdicts = '[]'::jsonb THEN verdicts := NULL; END IF;
END $$;
`;

/**
 * The hot case of `log.append`: every commit is one event of a stream that must not exist, without claims. The unique index
 * is what finds a stream that does; then nothing is written, and `base` is null: the caller goes the general way.
 * Of 1,000 rows a flush this takes two thirds of the general function's time.
 */
const appendNew = `
CREATE FUNCTION log.append_new(
  c_stream text[], c_commit text[], c_at bigint[], c_meta text[], e_type text[], e_version int[], e_data text[],
  OUT base bigint, OUT erased bigint
) LANGUAGE plpgsql AS $$
DECLARE
  written bigint;
BEGIN
  SELECT position, erasures INTO base, erased FROM log.head FOR UPDATE;
  BEGIN
    INSERT INTO log.events (position, commit_id, at, revision, index, version, stream, type, data, meta)
      SELECT base + e.ord, e.commit::uuid, e.at, 0, 0, e.version, e.stream, e.type, e.data, e.meta
        FROM unnest(c_stream, c_commit, c_at, c_meta, e_type, e_version, e_data) WITH ORDINALITY
          AS e(stream, commit, at, meta, type, version, data, ord);
    GET DIAGNOSTICS written = ROW_COUNT;
  EXCEPTION WHEN unique_violation THEN
    base := NULL;
    RETURN;
  END;
  UPDATE log.head SET position = base + written;
  PERFORM pg_notify('parley_log', (base + written)::text);
END $$;
`;

/** Blanks a stream in place and ends its claims. An unknown stream is closed by one blank event of its own. */
const erase = `
CREATE FUNCTION log.erase(closing text, commit_id text, at_ms bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  last bigint;
  nth bigint;
BEGIN
  SELECT position, erasures + 1 INTO last, nth FROM log.head FOR UPDATE;
  UPDATE log.events SET data = NULL, meta = NULL WHERE stream = closing AND data IS NOT NULL;
  IF NOT EXISTS (SELECT FROM log.events WHERE stream = closing) THEN
    last := last + 1;
    INSERT INTO log.events (position, commit_id, at, revision, index, version, stream, type, data, meta)
      VALUES (last, commit_id::uuid, at_ms, 0, 0, 1, closing, 'closed', NULL, NULL);
  END IF;
  UPDATE log.head SET position = last, erasures = nth;
  DELETE FROM log.claims WHERE stream = closing AND (at_least_until IS NULL OR at_least_until <= at_ms);
  UPDATE log.claims SET stream_closed = true WHERE stream = closing;
  PERFORM pg_notify('parley_log_erased', nth || ':' || last || ':' || closing);
END $$;
`;

/** Of a log that is EventStoreDB: its nodes clean their disks when they are told to, and each is told once in a while. */
const scavenges = `
CREATE TABLE log.scavenges (
  node text COLLATE "C" PRIMARY KEY,
  tried_at timestamptz NOT NULL,
  started_at timestamptz
);
COMMENT ON TABLE log.scavenges IS 'When each node of EventStoreDB was last told to scavenge what was erased.';
COMMENT ON COLUMN log.scavenges.tried_at IS 'When a process last took the turn to tell it.';
COMMENT ON COLUMN log.scavenges.started_at IS 'When it last answered that it scavenges; null: never.';
`;

/** The log's own steps. */
export const logMigrations: readonly Migration[] = [
  { component: 'log', number: 1, sql: events },
  { component: 'log', number: 2, sql: append },
  { component: 'log', number: 3, sql: erase },
  { component: 'log', number: 4, sql: appendNew },
  { component: 'log', number: 5, sql: scavenges },
];
