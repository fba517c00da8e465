import type { Migration } from '../platform/migrate.ts';

/**
 * Connections are leases: a process holds its own by one row, so that renewing thousands is one update. A claim is judged
 * under a lock on its scope, taken in order of the scopes, so that the limit holds over all processes.
 */
const tables = `
CREATE SCHEMA IF NOT EXISTS work;

CREATE TABLE work.gateways (
  process uuid PRIMARY KEY,
  until timestamptz NOT NULL
);
COMMENT ON TABLE work.gateways IS 'Processes that hold connections. One whose time has passed is dead, and so are its connections.';

CREATE TABLE work.connections (
  process uuid NOT NULL,
  number int NOT NULL,
  workspace int NOT NULL,
  account int NOT NULL,
  credential text COLLATE "C" NOT NULL,
  scope text COLLATE "C",
  position bigint NOT NULL,
  opened_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (process, number)
);
CREATE INDEX connections_account ON work.connections (workspace, account);
CREATE INDEX connections_scope ON work.connections (scope) WHERE scope IS NOT NULL;
COMMENT ON TABLE work.connections IS 'Open sockets and event streams, by the process that holds them.';
COMMENT ON COLUMN work.connections.scope IS 'What a limit of connections is counted by.';
COMMENT ON COLUMN work.connections.position IS 'The peer has everything up to here for certain.';

CREATE TABLE work.connection_ends (
  workspace int NOT NULL,
  account int NOT NULL,
  position bigint NOT NULL,
  ended_at timestamptz NOT NULL,
  PRIMARY KEY (workspace, account)
);
COMMENT ON TABLE work.connection_ends IS 'Where the last connection of an account stood when it ended: what it has missed since begins there.';

CREATE FUNCTION work.claim_connections(
  holder uuid, numbers int[], workspaces int[], accounts int[], credentials text[], scopes text[], limits int[], positions bigint[]
) RETURNS TABLE (number int, claimed boolean, first boolean, last_position bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  PERFORM FROM work.gateways WHERE process = holder FOR SHARE;
  -- Given up for dead: the process has to begin anew.
  IF NOT FOUND THEN RETURN; END IF;
  PERFORM pg_advisory_xact_lock(hashtextextended(s.scope, 7267540))
    FROM (SELECT DISTINCT u.scope FROM unnest(scopes, limits) AS u(scope, most) WHERE u.scope IS NOT NULL AND u.most > 0
          ORDER BY u.scope) s;
  RETURN QUERY
    WITH asked AS (
      SELECT u.*, row_number() OVER (PARTITION BY u.scope ORDER BY u.nth) AS of_scope,
             row_number() OVER (PARTITION BY u.workspace, u.account ORDER BY u.nth) AS of_account
        FROM unnest(numbers, workspaces, accounts, credentials, scopes, limits, positions) WITH ORDINALITY
          AS u(number, workspace, account, credential, scope, most, position, nth)
    ), judged AS (
      SELECT a.*,
             a.scope IS NULL OR a.most = 0 OR a.of_scope + (
               SELECT count(*) FROM work.connections c JOIN work.gateways g ON g.process = c.process AND g.until > now()
                WHERE c.scope = a.scope) <= a.most AS allowed,
             a.of_account = 1 AND NOT EXISTS (
               SELECT FROM work.connections c JOIN work.gateways g ON g.process = c.process AND g.until > now()
                WHERE c.workspace = a.workspace AND c.account = a.account) AS alone
        FROM asked a
    ), made AS (
      INSERT INTO work.connections (process, number, workspace, account, credential, scope, position)
        SELECT holder, j.number, j.workspace, j.account, j.credential, j.scope, j.position FROM judged j WHERE j.allowed
    )
    SELECT j.number, j.allowed, j.alone, CASE WHEN j.allowed AND j.alone THEN (
        SELECT e.position FROM (
          SELECT l.position, l.ended_at FROM work.connection_ends l
            WHERE l.workspace = j.workspace AND l.account = j.account
          UNION ALL
          SELECT c.position, coalesce(g.until, c.opened_at) FROM work.connections c
            LEFT JOIN work.gateways g ON g.process = c.process
            WHERE c.workspace = j.workspace AND c.account = j.account
        ) e ORDER BY e.ended_at DESC, e.position LIMIT 1) END
      FROM judged j;
END
$$;

CREATE FUNCTION work.end_connections(holder uuid, numbers int[], positions bigint[])
RETURNS TABLE (number int, last boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  RETURN QUERY
    WITH gone AS (
      DELETE FROM work.connections c USING unnest(numbers, positions) AS u(number, position)
        WHERE c.process = holder AND c.number = u.number
        RETURNING c.number, c.workspace, c.account, u.position
    ), noted AS (
      INSERT INTO work.connection_ends AS e (workspace, account, position, ended_at)
        SELECT g.workspace, g.account, min(g.position), now() FROM gone g GROUP BY 1, 2 ORDER BY 1, 2
      ON CONFLICT (workspace, account) DO UPDATE SET position = excluded.position, ended_at = excluded.ended_at
        WHERE e.ended_at <= excluded.ended_at
    )
    SELECT g.number, NOT EXISTS (
        SELECT FROM work.connections c JOIN work.gateways w ON w.process = c.process AND w.until > now()
         WHERE c.workspace = g.workspace AND c.account = g.account
           AND NOT (c.process = holder AND c.number = ANY (numbers)))
      FROM gone g;
END
$$;

CREATE FUNCTION work.bury_gateways() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  DELETE FROM work.gateways
    WHERE process IN (SELECT process FROM work.gateways WHERE until < now() FOR UPDATE SKIP LOCKED);
  WITH gone AS (
    DELETE FROM work.connections c WHERE NOT EXISTS (SELECT FROM work.gateways g WHERE g.process = c.process)
    RETURNING c.workspace, c.account, c.position
  )
  INSERT INTO work.connection_ends AS e (workspace, account, position, ended_at)
    SELECT g.workspace, g.account, min(g.position), now() FROM gone g GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (workspace, account) DO UPDATE SET position = excluded.position, ended_at = excluded.ended_at
    WHERE e.ended_at <= excluded.ended_at;
END
$$;
`;

/** What the gateway keeps beside the log: connections. */
export const gatewayMigrations: readonly Migration[] = [{ component: 'gateway', number: 1, sql: tables }];
