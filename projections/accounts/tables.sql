CREATE TABLE accounts (
  workspace integer NOT NULL,
  account integer NOT NULL,
  kind text NOT NULL,
  email text,
  email_normalised text,
  display_name text,
  tier text,
  opened_at timestamptz NOT NULL,
  PRIMARY KEY (workspace, account)
);
CREATE INDEX accounts_email ON accounts USING hash (email_normalised) WHERE email_normalised IS NOT NULL;
COMMENT ON TABLE accounts IS 'Accounts: persons, bots and services in a workspace. MessageJS users are accounts of the system workspace accounts.';
COMMENT ON COLUMN accounts.account IS 'Number of the account within its workspace; 0 is the service account.';
COMMENT ON COLUMN accounts.email IS 'As its owner spelled it.';
COMMENT ON COLUMN accounts.email_normalised IS 'Trimmed and in lower case: what e-mail addresses are compared by.';
COMMENT ON COLUMN accounts.tier IS 'Service level that limits and quotas follow from; null while the configured default applies.';

CREATE TABLE logins (
  workspace integer NOT NULL,
  account integer NOT NULL,
  last_login_at timestamptz NOT NULL,
  PRIMARY KEY (workspace, account)
) WITH (fillfactor = 50);
COMMENT ON TABLE logins IS 'The latest successful login of each account that ever logged in.';
