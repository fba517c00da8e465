import pg from 'pg';

/** How a pool is opened. Times in milliseconds. */
export interface PoolOptions {
  readonly url: string;
  /** Shown in `pg_stat_activity`. */
  readonly name: string;
  readonly maxConnections: number;
  /** Schema that unqualified names mean. */
  readonly searchPath?: string;
  readonly statementTimeoutMs?: number;
  readonly transactionTimeoutMs?: number;
  readonly answerTimeoutMs?: number;
}

/** Opens a pool that survives the server's going away: broken connections are replaced at their next use. */
export function openPool(options: PoolOptions): pg.Pool {
  const { statementTimeoutMs = 30_000, transactionTimeoutMs = 60_000 } = options;
  const settings = [
    `-c statement_timeout=${statementTimeoutMs}`,
    `-c transaction_timeout=${transactionTimeoutMs}`,
    '-c jit=off',
  ];
  if (options.searchPath) settings.push(`-c search_path=${options.searchPath}`);
  const pool = new pg.Pool({
    connectionString: options.url,
    application_name: `parley-${options.name}`,
    max: options.maxConnections,
    connectionTimeoutMillis: 3_000,
    // A connection that died without a word answers nothing: without this it would be waited for for ever.
    query_timeout: options.answerTimeoutMs ?? Math.min(10_000, statementTimeoutMs) + 1_000,
    options: settings.join(' '),
  });
  // Without listeners a connection that breaks would end the process: while it is idle by the pool's, while somebody
  // holds it by its own. Who holds it learns of it at the next query.
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

/** Runs `work` in a transaction on one connection of the pool. */
export async function inTransaction<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    if (isConnectionTrouble(error)) broken = error as Error;
    else
      await client.query('ROLLBACK').catch((failed: Error) => {
        broken = failed;
      });
    throw error;
  } finally {
    client.release(broken);
  }
}

const connectionErrorCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  // Transaction, idle and statement time-outs; too many connections.
  '25P03',
  '25P04',
  '57014',
  '53300',
]);
const connectionErrorText =
  /Connection terminated|timeout expired|connection error|timeout exceeded when trying to connect|Query read timeout|not queryable/i;

/** Trouble with reaching Postgres or its shutting down, as against what is wrong with a statement. */
export function isConnectionTrouble(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  if (typeof code === 'string') {
    if (connectionErrorCodes.has(code) || code.startsWith('08') || code.startsWith('57P')) return true;
  }
  return connectionErrorText.test(error.message);
}
