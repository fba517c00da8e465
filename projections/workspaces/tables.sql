CREATE TABLE workspaces (
  workspace integer PRIMARY KEY,
  kind text NOT NULL,
  owner_workspace integer,
  owner_account integer,
  name text,
  description text,
  is_active boolean NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz,
  deleted boolean NOT NULL,
  erased boolean NOT NULL
);
CREATE INDEX workspaces_owner ON workspaces (owner_workspace, owner_account) WHERE NOT deleted;
CREATE INDEX workspaces_to_erase ON workspaces (workspace) WHERE deleted AND NOT erased;
COMMENT ON TABLE workspaces IS 'Workspaces: the tenants. A MessageJS project is a workspace of kind project, a ChatAPI client one of kind client.';
COMMENT ON COLUMN workspaces.owner_account IS 'The account that owns it, in workspace owner_workspace; null for the system ones.';
COMMENT ON COLUMN workspaces.is_active IS 'False: its keys and those of its accounts fail. True of a deleted one.';
COMMENT ON COLUMN workspaces.deleted IS 'Nothing in it exists for any reader; its content is being erased.';
COMMENT ON COLUMN workspaces.erased IS 'A tombstone: the content is gone.';
