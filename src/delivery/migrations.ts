import type { Migration } from '../platform/migrate.ts';
import { webhookMigrations } from './webhooks/migrations.ts';

const tables = `
CREATE SCHEMA IF NOT EXISTS work;

CREATE TABLE work.dispatch_leases (
  dispatch text COLLATE "C" PRIMARY KEY,
  holder uuid NOT NULL,
  until timestamptz NOT NULL
);
COMMENT ON TABLE work.dispatch_leases IS 'Dispatches that a process is sending or has just settled. What is due is told by the log, never by this table.';
COMMENT ON COLUMN work.dispatch_leases.until IS 'From then on another process may take the dispatch over, after reading its stream.';

CREATE TABLE work.held_receipt_streams (
  stream text COLLATE "C" PRIMARY KEY,
  received_at bigint NOT NULL
);
CREATE INDEX held_receipt_streams_received ON work.held_receipt_streams (received_at);
COMMENT ON TABLE work.held_receipt_streams IS 'Streams of held receipts that are still to be erased, kept by group erasing; received_at is milliseconds since the epoch.';
`;

/** What delivery keeps beside the log: leases, and what its consumer groups remember. */
export const deliveryMigrations: readonly Migration[] = [
  { component: 'delivery', number: 1, sql: tables },
  ...webhookMigrations,
];
