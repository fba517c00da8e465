import type { Migration } from '../../platform/migrate.ts';

const tables = `
CREATE TABLE work.webhook_leases (
  workspace integer NOT NULL,
  webhook integer NOT NULL,
  holder uuid NOT NULL,
  until timestamptz NOT NULL,
  position bigint NOT NULL,
  PRIMARY KEY (workspace, webhook)
);
COMMENT ON TABLE work.webhook_leases IS 'Webhooks that a process delivers to. What is to be delivered is told by the log, never by this table.';
COMMENT ON COLUMN work.webhook_leases.until IS 'From then on another process may take the webhook over.';
COMMENT ON COLUMN work.webhook_leases.position IS 'Nothing of the webhook is open up to here: where the next holder begins to read the log.';

CREATE TABLE work.webhook_holders (
  holder uuid PRIMARY KEY,
  until timestamptz NOT NULL
);
COMMENT ON TABLE work.webhook_holders IS 'Processes that deliver to webhooks: each takes its share of them.';
`;

/** Leases on webhooks. */
export const webhookMigrations: readonly Migration[] = [{ component: 'webhooks', number: 1, sql: tables }];
