CREATE TABLE accounts (
  workspace integer NOT NULL,
  account integer NOT NULL,
  kind text NOT NULL,
  email text,
  email_normalised text,
  email_verified boolean NOT NULL,
  username text,
  phone text,
  phone_verified boolean NOT NULL,
  display_name text,
  given_name text,
  family_name text,
  job text,
  bio text,
  avatar integer,
  tier text,
  active boolean NOT NULL,
  has_password boolean NOT NULL,
  key_issued_at timestamptz,
  key_expires_at timestamptz,
  key_permissions jsonb,
  opened_at timestamptz NOT NULL,
  updated_at timestamptz,
  deleted boolean NOT NULL,
  deleted_at timestamptz,
  messages text,
  erased boolean NOT NULL,
  PRIMARY KEY (workspace, account)
);
CREATE INDEX accounts_email ON accounts USING hash (email_normalised) WHERE email_normalised IS NOT NULL;
CREATE INDEX accounts_username ON accounts USING hash (username) WHERE username IS NOT NULL;
CREATE INDEX accounts_phone ON accounts USING hash (phone) WHERE phone IS NOT NULL;
CREATE INDEX accounts_to_erase ON accounts (workspace, account) WHERE deleted AND NOT erased;
COMMENT ON TABLE accounts IS 'Accounts: persons, bots and services in a workspace. MessageJS users are accounts of the system workspace accounts.';
COMMENT ON COLUMN accounts.account IS 'Number of the account within its workspace; 0 is the service account, which has no row.';
COMMENT ON COLUMN accounts.email IS 'As its owner spelled it; username and phone likewise. Null where there is none.';
COMMENT ON COLUMN accounts.email_normalised IS 'Trimmed and in lower case: what e-mail addresses are compared by where a dialect does not compare exactly.';
COMMENT ON COLUMN accounts.email_verified IS 'A code that went to it came back; phone_verified likewise.';
COMMENT ON COLUMN accounts.avatar IS 'Number of a stored file.';
COMMENT ON COLUMN accounts.tier IS 'Service level that limits and quotas follow from; null while the configured default applies.';
COMMENT ON COLUMN accounts.active IS 'While false its credentials fail.';
COMMENT ON COLUMN accounts.key_issued_at IS 'When its scoped key was issued; null while it has none.';
COMMENT ON COLUMN accounts.key_permissions IS 'What its scoped key may do; null: all that the account may.';
COMMENT ON COLUMN accounts.updated_at IS 'When identifiers, profile or activity last changed.';
COMMENT ON COLUMN accounts.deleted IS 'It does not exist for any reader; its content is being erased.';
COMMENT ON COLUMN accounts.messages IS 'Of a deleted one: keep or erase all that it ever said. With erase nobody is shown it from the deletion on.';
COMMENT ON COLUMN accounts.erased IS 'A tombstone: who it was is gone.';

CREATE TABLE account_names (
  workspace integer NOT NULL,
  account integer NOT NULL,
  revision integer NOT NULL,
  display_name text,
  given_name text,
  family_name text,
  username text,
  PRIMARY KEY (workspace, account, revision)
);
COMMENT ON TABLE account_names IS 'What each account was called from a revision of its stream on: a message names the revision that its poster''s node saw. Gone with the account.';

CREATE TABLE declared_presence (
  workspace integer NOT NULL,
  account integer NOT NULL,
  online boolean,
  changed_at timestamptz,
  erased boolean NOT NULL,
  PRIMARY KEY (workspace, account)
);
COMMENT ON TABLE declared_presence IS 'What clients said of their account''s presence; connections are not in it.';
COMMENT ON COLUMN declared_presence.erased IS 'A tombstone of an erased account, whether it had ever said anything or not.';

CREATE TABLE logins (
  workspace integer NOT NULL,
  account integer NOT NULL,
  last_login_at timestamptz NOT NULL,
  PRIMARY KEY (workspace, account)
) WITH (fillfactor = 50);
COMMENT ON TABLE logins IS 'The latest successful login of each account that ever logged in.';
