CREATE TABLE devices (
  workspace integer NOT NULL,
  device integer NOT NULL,
  account integer NOT NULL,
  identifier text,
  device_type text,
  name text,
  os_name text,
  os_version text,
  app_version text,
  push_token text,
  token_issued_at timestamptz,
  token_expires_at timestamptz,
  registered_at timestamptz,
  updated_at timestamptz,
  deleted boolean NOT NULL,
  erased boolean NOT NULL,
  PRIMARY KEY (workspace, device)
);
CREATE INDEX devices_account ON devices (workspace, account, device) WHERE NOT erased;
CREATE INDEX devices_identifier ON devices USING hash (identifier) WHERE identifier IS NOT NULL;
CREATE INDEX devices_to_erase ON devices (workspace, device) WHERE deleted AND NOT erased;
COMMENT ON TABLE devices IS 'Devices that accounts sign in from.';
COMMENT ON COLUMN devices.account IS 'The account it is bound to.';
COMMENT ON COLUMN devices.identifier IS 'What the client calls it.';
COMMENT ON COLUMN devices.token_issued_at IS 'When the token that signs its account in was issued; null while it has none. Its secret stands nowhere.';
COMMENT ON COLUMN devices.token_expires_at IS 'Null: never.';
COMMENT ON COLUMN devices.deleted IS 'It does not exist for any reader; its content is being erased.';
COMMENT ON COLUMN devices.erased IS 'A tombstone: what was known of it is gone.';
