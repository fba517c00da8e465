CREATE TABLE connectors (
  workspace integer NOT NULL,
  connector integer NOT NULL,
  connector_type text NOT NULL,
  name text,
  is_active boolean,
  sender_hash text,
  created_at timestamptz,
  updated_at timestamptz,
  deleted boolean NOT NULL,
  erased boolean NOT NULL,
  PRIMARY KEY (workspace, connector)
);
CREATE INDEX connectors_sender ON connectors USING hash (sender_hash) WHERE sender_hash IS NOT NULL;
CREATE INDEX connectors_to_erase ON connectors (workspace, connector) WHERE deleted AND NOT erased;
COMMENT ON TABLE connectors IS 'Connectors: how dispatches of a workspace leave. Their credentials stand only in the log, sealed.';
COMMENT ON COLUMN connectors.connector_type IS 'The third-party channel: whatsapp, telegram or twilio.';
COMMENT ON COLUMN connectors.sender_hash IS 'Hash of what the provider calls the sender in its receipts, where it does. Stays when the connector is deleted: receipts still come.';
COMMENT ON COLUMN connectors.deleted IS 'It does not exist for any reader.';
COMMENT ON COLUMN connectors.erased IS 'A tombstone: the content is gone.';
