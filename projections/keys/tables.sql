CREATE TABLE keys (
  workspace integer NOT NULL,
  key integer NOT NULL,
  name text,
  mode text,
  rate_limit integer,
  created_at timestamptz,
  expires_at timestamptz,
  deleted boolean NOT NULL,
  erased boolean NOT NULL,
  PRIMARY KEY (workspace, key)
);
CREATE INDEX keys_to_erase ON keys (workspace, key) WHERE deleted AND NOT erased;
COMMENT ON TABLE keys IS 'API keys of workspaces. Their secrets stand nowhere.';
COMMENT ON COLUMN keys.rate_limit IS 'Messages an hour.';
COMMENT ON COLUMN keys.deleted IS 'Revoked: it does not exist for any reader.';
COMMENT ON COLUMN keys.erased IS 'A tombstone: the content is gone.';

CREATE TABLE key_usage (
  workspace integer NOT NULL,
  key integer NOT NULL,
  last_used_at timestamptz NOT NULL,
  PRIMARY KEY (workspace, key)
) WITH (fillfactor = 50);
COMMENT ON TABLE key_usage IS 'When each key last had a dispatch accepted.';
