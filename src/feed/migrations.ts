import type { Migration } from '../platform/migrate.ts';

const checkpoints = `
CREATE SCHEMA IF NOT EXISTS work;

CREATE TABLE work.checkpoints (
  "group" text NOT NULL,
  partition integer NOT NULL,
  position bigint NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY ("group", partition)
) WITH (fillfactor = 10);
COMMENT ON TABLE work.checkpoints IS 'How far each consumer group has got, changed in the transaction that did the work.';
COMMENT ON COLUMN work.checkpoints.at IS 'When the position was reached.';
`;

const partitions = `
ALTER TABLE work.checkpoints
  ADD COLUMN partitions integer NOT NULL DEFAULT 1,
  ADD COLUMN former jsonb,
  ADD COLUMN topic text,
  ADD COLUMN next_offset bigint;
COMMENT ON COLUMN work.checkpoints.partitions IS 'Of so many partitions is this one: the same in all rows of a group.';
COMMENT ON COLUMN work.checkpoints.former IS 'What the group had done under other numbers of partitions, beyond this position: [{partitions, positions}]. Such events are dropped.';
COMMENT ON COLUMN work.checkpoints.topic IS 'The topic that the group reads; null when it reads the log itself.';
COMMENT ON COLUMN work.checkpoints.next_offset IS 'Where the records after this position begin in that topic.';

CREATE TABLE work.relays (
  topic text PRIMARY KEY,
  holder text NOT NULL,
  epoch bigint NOT NULL,
  until timestamptz NOT NULL,
  position bigint NOT NULL,
  latest bigint[] NOT NULL,
  at timestamptz NOT NULL
) WITH (fillfactor = 10);
COMMENT ON TABLE work.relays IS 'Who copies the log into a topic, and how far it has got.';
COMMENT ON COLUMN work.relays.holder IS 'The process whose lease it is, up to "until"; each holder has an epoch of its own.';
COMMENT ON COLUMN work.relays.position IS 'Everything up to here was acknowledged by the topic.';
COMMENT ON COLUMN work.relays.latest IS 'Position of the latest record of each partition.';
`;

/** The feed's own steps. */
export const feedMigrations: readonly Migration[] = [
  { component: 'feed', number: 1, sql: checkpoints },
  { component: 'feed', number: 2, sql: partitions },
];
