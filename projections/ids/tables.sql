CREATE TABLE highest_ids (
  workspace integer NOT NULL,
  kind text COLLATE "C" NOT NULL,
  id integer NOT NULL,
  PRIMARY KEY (workspace, kind)
) WITH (fillfactor = 50);
COMMENT ON TABLE highest_ids IS 'The highest id given to anything of a kind in a workspace, what was erased included. Workspaces themselves are counted under workspace 0.';
