import type { Migration } from '../platform/migrate.ts';

const schemas = `
CREATE SCHEMA IF NOT EXISTS work;
CREATE SCHEMA read;
COMMENT ON SCHEMA read IS 'Read models of Parley, for SQL tools too: read them as role parley_reader. Built from the log; nothing written here lasts.';

CREATE TABLE work.projections (
  name text PRIMARY KEY,
  version integer NOT NULL,
  tables text[] NOT NULL
);
COMMENT ON TABLE work.projections IS 'The version that each projection''s tables in schema read were made by. The projector of that version keeps them; others leave them alone.';
`;

/** A role for readers. Roles belong to the whole cluster: it may be there, or not ours to make. */
const readerRole = `
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'parley_reader') THEN
    CREATE ROLE parley_reader NOLOGIN;
  END IF;
EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
  RAISE NOTICE 'role parley_reader was not made: %', SQLERRM;
END $$;

CREATE FUNCTION work.grant_read() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'parley_reader') THEN
    GRANT USAGE ON SCHEMA read TO parley_reader;
    GRANT SELECT ON ALL TABLES IN SCHEMA read TO parley_reader;
    ALTER DEFAULT PRIVILEGES IN SCHEMA read GRANT SELECT ON TABLES TO parley_reader;
  END IF;
END $$;
SELECT work.grant_read();
`;

/** The read side's own steps. The tables of projections are none of them: see `tables.ts`. */
export const readsideMigrations: readonly Migration[] = [
  { component: 'readside', number: 1, sql: schemas },
  { component: 'readside', number: 2, sql: readerRole },
];
