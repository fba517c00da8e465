-- Written thousands of times a second: of its indexes a new row meets three, dispatches_id at random, the others at an end.
-- Ids are unique by the log; a primary key would say so again for 10 of then 23 us a row (1 M rows, batches of 2,000).
-- dispatches_due serves both the dispatches due of one connector and, by skipping, the connectors that have any.
CREATE TABLE dispatches (
  created_at timestamptz NOT NULL,
  due timestamptz,
  sent_at timestamptz,
  delivered_at timestamptz,
  workspace integer NOT NULL,
  owner_workspace integer NOT NULL,
  owner_account integer NOT NULL,
  key integer NOT NULL,
  connector integer NOT NULL,
  template integer NOT NULL,
  attempts integer NOT NULL,
  revision integer,
  erased boolean NOT NULL,
  dispatch text COLLATE "C" NOT NULL,
  connector_type text NOT NULL,
  status text NOT NULL,
  recipient text,
  text text,
  external_id text,
  error text
);
CREATE INDEX dispatches_id ON dispatches USING hash (dispatch);
CREATE INDEX dispatches_history ON dispatches (workspace, created_at);
CREATE INDEX dispatches_due ON dispatches (workspace, connector, due) WHERE due IS NOT NULL;
CREATE INDEX dispatches_erased ON dispatches (workspace) WHERE erased;
CREATE INDEX dispatches_external ON dispatches USING hash (external_id) WHERE external_id IS NOT NULL;
COMMENT ON TABLE dispatches IS 'Dispatches: messages that leave through a connector.';
COMMENT ON COLUMN dispatches.owner_account IS 'The account, in workspace owner_workspace, whose quota it counts against.';
COMMENT ON COLUMN dispatches.key IS 'The API key it was accepted with, by its number in the workspace.';
COMMENT ON COLUMN dispatches.status IS 'pending, sent, delivered or failed; never goes backwards.';
COMMENT ON COLUMN dispatches.attempts IS 'Attempts used up.';
COMMENT ON COLUMN dispatches.due IS 'When the next attempt may begin; null when there is none to come.';
COMMENT ON COLUMN dispatches.external_id IS 'What the provider calls it; not unique.';
COMMENT ON COLUMN dispatches.error IS 'Why it failed, or, while pending, why the latest attempt did.';
COMMENT ON COLUMN dispatches.revision IS 'Revision of its stream that this row has seen; null once erased.';
COMMENT ON COLUMN dispatches.erased IS 'A tombstone: recipient, text and all that came from the provider are gone.';

CREATE TABLE dispatch_days (
  workspace integer NOT NULL,
  day date NOT NULL,
  connector_type text COLLATE "C" NOT NULL,
  pending integer NOT NULL,
  sent integer NOT NULL,
  delivered integer NOT NULL,
  failed integer NOT NULL,
  erased_pending integer NOT NULL,
  erased_sent integer NOT NULL,
  erased_delivered integer NOT NULL,
  erased_failed integer NOT NULL,
  PRIMARY KEY (workspace, day, connector_type)
) WITH (fillfactor = 50);
COMMENT ON TABLE dispatch_days IS 'How many dispatches of each UTC day of acceptance stand at each status now, erased ones included.';
COMMENT ON COLUMN dispatch_days.erased_pending IS 'How many of pending were erased; the other erased_ columns likewise.';

CREATE TABLE dispatch_months (
  owner_workspace integer NOT NULL,
  owner_account integer NOT NULL,
  month date NOT NULL,
  accepted integer NOT NULL,
  PRIMARY KEY (owner_workspace, owner_account, month)
) WITH (fillfactor = 50);
COMMENT ON TABLE dispatch_months IS 'How many dispatches were accepted on an account''s quota in each calendar month, UTC; month is its first day.';
