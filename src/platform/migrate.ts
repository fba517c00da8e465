import pg from 'pg';

/** One step forward of the database. Numbers are unique per component and rise; a step is never edited after release. */
export interface Migration {
  readonly component: string;
  readonly number: number;
  readonly sql: string;
}

/** The database was made by a newer version of the code. */
export class SchemaTooNewError extends Error {
  constructor(component: string, found: number, known: number) {
    super(
      `the database's ${component} schema is at ${found}, this version of Parley knows up to ${known}: start the newer version`,
    );
    this.name = 'SchemaTooNewError';
  }
}

/** The advisory lock of who makes what is missing: any number, the same in every process, one at a time. */
export const migrationLock = 7_267_539;

/**
 * Brings the database up to date, under an advisory lock, each step in a transaction of its own.
 * Throws SchemaTooNewError when a component is ahead of the code; nothing is changed then.
 */
export async function migrate(url: string, migrations: readonly Migration[]): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: 'parley-migrate' });
  client.on('error', () => {});
  await client.connect();
  try {
    await client.query('SELECT pg_advisory_lock($1)', [migrationLock]);
    await client.query(
      'CREATE TABLE IF NOT EXISTS public.parley_migrations (component text, number int, applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (component, number))',
    );
    const { rows } = await client.query<{ component: string; number: number }>(
      'SELECT component, max(number) AS number FROM public.parley_migrations GROUP BY component',
    );
    const applied = new Map(rows.map((row) => [row.component, row.number]));
    for (const [component, number] of applied) {
      const known = Math.max(0, ...migrations.filter((m) => m.component === component).map((m) => m.number));
      if (number > known) throw new SchemaTooNewError(component, number, known);
    }
    for (const step of migrations) {
      if (step.number <= (applied.get(step.component) ?? 0)) continue;
      await client.query('BEGIN');
      await client.query(step.sql);
      await client.query('INSERT INTO public.parley_migrations (component, number) VALUES ($1, $2)', [
        step.component,
        step.number,
      ]);
      await client.query('COMMIT');
    }
  } finally {
    await client.end();
  }
}
