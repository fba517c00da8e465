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

/** The feed's own steps. */
export const feedMigrations: readonly Migration[] = [{ component: 'feed', number: 1, sql: checkpoints }];
