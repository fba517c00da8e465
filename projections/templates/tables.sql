CREATE TABLE templates (
  workspace integer NOT NULL,
  template integer NOT NULL,
  connector_type text NOT NULL,
  name text,
  content text,
  variables jsonb,
  is_active boolean,
  created_at timestamptz,
  updated_at timestamptz,
  deleted boolean NOT NULL,
  erased boolean NOT NULL,
  PRIMARY KEY (workspace, template)
);
CREATE INDEX templates_to_erase ON templates (workspace, template) WHERE deleted AND NOT erased;
COMMENT ON TABLE templates IS 'Templates: texts with {{placeholders}} that dispatches are rendered from.';
COMMENT ON COLUMN templates.variables IS 'Names that its author listed, as a JSON array: documentation, not checked against the content.';
COMMENT ON COLUMN templates.deleted IS 'It does not exist for any reader.';
COMMENT ON COLUMN templates.erased IS 'A tombstone: the content is gone.';
