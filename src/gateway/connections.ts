import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { Gather } from '../platform/gather.ts';
import { bigintArray, intArray, textArray } from '../platform/pg-arrays.ts';
import { Turns } from './patience.ts';

/** How connections are kept. Times in milliseconds. */
export interface ConnectionsOptions {
  readonly pool: pg.Pool;
  /** A process that does not renew for so long is dead. Default 10 000. */
  readonly lifeMs?: number;
  /** Default 2000. */
  readonly renewIntervalMs?: number;
  /** The only process there is: whoever came before is dead. */
  readonly sole?: boolean;
  readonly onTrouble: (error: unknown) => void;
}

/** A connection that is asked for. */
export interface ConnectionRequest {
  readonly workspace: number;
  readonly account: number;
  /** What it was authenticated with, in a spelling that is no secret. */
  readonly credential: string;
  /** Refused when `max` connections of the scope are open, in all processes together; 0: no limit. */
  readonly limit: { readonly scope: string; readonly max: number } | null;
  /** Where it stands. */
  readonly position: bigint;
}

/** How a claim ended. */
export interface ClaimedConnection {
  readonly claimed: boolean;
  /** Names it in this process. */
  readonly number: number;
  /** Its account has no other. */
  readonly first: boolean;
  /** Where the account's last one stood when it ended; null when another is open, or there was none. */
  readonly lastPosition: bigint | null;
}

interface Claim extends ConnectionRequest {
  readonly number: number;
}

interface End {
  readonly number: number;
  readonly position: bigint;
}

interface Question {
  readonly workspace: number;
  readonly accounts: readonly number[];
}

/** Items of one statement at most. */
const maxItems = 1_000;
/** How often the dead are looked for, in renewals. */
const renewalsPerBurial = 5;
/** Accounts of one question at most. */
const maxAccountsAsked = 50_000;

/** This process was given up for dead: its connections are no more. */
class BuriedError extends Error {
  constructor() {
    super('the connections of this process were given up');
    this.name = 'BuriedError';
  }
}

/**
 * Connections of all processes, as leases in Postgres (`work.connections`): a process keeps its own alive by one row that it
 * renews. Claims, ends and questions of many are put into one statement. Nothing waits for the disk: a crash of the
 * database may lose the last moments, which peers notice as well.
 */
export class Connections {
  readonly process = randomUUID();
  readonly #options: Required<Omit<ConnectionsOptions, 'sole'>>;
  readonly #sole: boolean;
  readonly #held = new Map<number, Claim>();
  /** What to write at the next renewal: positions that peers have confirmed. */
  #confirmed = new Map<number, bigint>();
  /** Ends that could not be written. */
  #unwritten: End[] = [];
  readonly #claims = new Gather<Claim, ClaimedConnection>(maxItems, (claims) => this.#claim(claims));
  readonly #ends = new Gather<End, boolean>(maxItems, (ends) => this.#writing.take(() => this.#end(ends)));
  readonly #questions = new Gather<Question, Set<number>>(100, (questions) => this.#ask(questions));
  /** Renewals and ends lock the same rows, each in an order of its own: one at a time. */
  readonly #writing = new Turns(1);
  #timer: NodeJS.Timeout | undefined;
  #renewing: Promise<void> | null = null;
  #renewals = 0;
  #numbers = 0;

  constructor(options: ConnectionsOptions) {
    this.#options = { lifeMs: 10_000, renewIntervalMs: 2_000, ...options };
    this.#sole = options.sole ?? false;
  }

  /** Connections that this process holds. */
  get held(): number {
    return this.#held.size;
  }

  /** Claims and ends that wait to be written. */
  get waiting(): number {
    return this.#claims.waiting + this.#ends.waiting + this.#unwritten.length;
  }

  async start(): Promise<void> {
    const { pool, renewIntervalMs } = this.#options;
    if (this.#sole) await pool.query(`UPDATE work.gateways SET until = '-infinity'`);
    await this.#register();
    await pool.query('SELECT work.bury_gateways()');
    this.#timer = setInterval(() => this.#tick(), renewIntervalMs).unref();
  }

  /** Ends what is left. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#renewing;
    await this.#renew().catch(this.#options.onTrouble);
    await this.#options.pool
      .query(`UPDATE work.gateways SET until = '-infinity' WHERE process = $1`, [this.process])
      .then(() => this.#options.pool.query('SELECT work.bury_gateways()'))
      .catch(this.#options.onTrouble);
  }

  /** Claims a connection; atomic over all processes. Rejects when the database is away. */
  async claim(request: ConnectionRequest): Promise<ClaimedConnection> {
    this.#numbers = (this.#numbers % 0x7ffffffe) + 1;
    const claim = { ...request, number: this.#numbers };
    let answer: ClaimedConnection;
    try {
      answer = await this.#claims.ask(claim);
    } catch (error) {
      // It may have been written all the same.
      if (!(error instanceof BuriedError)) {
        this.#unwritten.push({ number: claim.number, position: claim.position });
        throw error;
      }
      await this.#restore();
      answer = await this.#claims.ask(claim);
    }
    if (answer.claimed) this.#held.set(claim.number, claim);
    return answer;
  }

  /** The peer has everything up to here. Written with the next renewal. */
  confirm(number: number, position: bigint): void {
    if (this.#held.has(number)) this.#confirmed.set(number, position);
  }

  /** Ends a connection, which stood at `position`. True when its account has no other. */
  async end(number: number, position: bigint): Promise<boolean> {
    this.#held.delete(number);
    this.#confirmed.delete(number);
    try {
      return await this.#ends.ask({ number, position });
    } catch (error) {
      this.#unwritten.push({ number, position });
      this.#options.onTrouble(error);
      return false;
    }
  }

  /** Which of these accounts have a connection, in any process. */
  online(workspace: number, accounts: readonly number[]): Promise<ReadonlySet<number>> {
    if (accounts.length === 0) return Promise.resolve(new Set());
    if (accounts.length > maxAccountsAsked) throw new RangeError(`at most ${maxAccountsAsked} accounts are asked for`);
    return this.#questions.ask({ workspace, accounts });
  }

  /** Accounts of the workspace that have a connection, in any process, lowest first. */
  async onlineIn(workspace: number, maxAccounts: number): Promise<number[]> {
    const { rows } = await this.#options.pool.query<{ account: number }>(
      `SELECT DISTINCT c.account FROM work.connections c JOIN work.gateways g ON g.process = c.process AND g.until > now()
        WHERE c.workspace = $1 ORDER BY c.account LIMIT $2`,
      [workspace, maxAccounts],
    );
    return rows.map(({ account }) => account);
  }

  #tick(): void {
    if (this.#renewing) return;
    this.#renewing = this.#renew()
      .catch(this.#options.onTrouble)
      .finally(() => {
        this.#renewing = null;
      });
  }

  async #renew(): Promise<void> {
    const { pool } = this.#options;
    const confirmed = this.#confirmed;
    this.#confirmed = new Map();
    let renewed: boolean;
    try {
      renewed = await this.#writing.take(() => this.#write(confirmed));
    } catch (error) {
      this.#confirmed = new Map([...confirmed, ...this.#confirmed]);
      throw error;
    }
    if (!renewed) await this.#restore();
    for (const end of this.#unwritten.splice(0)) void this.end(end.number, end.position);
    this.#renewals++;
    if (this.#renewals % renewalsPerBurial === 0) await pool.query('SELECT work.bury_gateways()');
  }

  /** False when this process was given up for dead. */
  async #write(confirmed: ReadonlyMap<number, bigint>): Promise<boolean> {
    const { rowCount } = await this.#options.pool.query({
      name: 'connections-renew',
      text: `WITH moved AS (
          UPDATE work.connections c SET position = u.position
            FROM unnest($3::int[], $4::bigint[]) AS u(number, position)
            WHERE c.process = $1 AND c.number = u.number)
        UPDATE work.gateways SET until = now() + $2::float8 * interval '1 millisecond' WHERE process = $1`,
      values: [
        this.process,
        this.#options.lifeMs,
        intArray([...confirmed.keys()]),
        bigintArray([...confirmed.values()]),
      ],
    });
    return rowCount !== 0;
  }

  async #register(): Promise<void> {
    await this.#options.pool.query(
      `INSERT INTO work.gateways (process, until) VALUES ($1, now() + $2::float8 * interval '1 millisecond')
        ON CONFLICT (process) DO UPDATE SET until = excluded.until`,
      [this.process, this.#options.lifeMs],
    );
  }

  /** This process was frozen, or cut off, for longer than a lease lives: what it holds is held anew, above any limit. */
  async #restore(): Promise<void> {
    await this.#register();
    const held = [...this.#held.values()];
    for (let at = 0; at < held.length; at += maxItems) {
      const part = held.slice(at, at + maxItems);
      await this.#options.pool.query(
        `INSERT INTO work.connections (process, number, workspace, account, credential, scope, position)
          SELECT $1, * FROM unnest($2::int[], $3::int[], $4::int[], $5::text[], $6::text[], $7::bigint[])
          ON CONFLICT DO NOTHING`,
        [
          this.process,
          intArray(part.map(({ number }) => number)),
          intArray(part.map(({ workspace }) => workspace)),
          intArray(part.map(({ account }) => account)),
          textArray(part.map(({ credential }) => credential)),
          textArray(part.map(({ limit }) => limit?.scope ?? null)),
          bigintArray(part.map(({ position }) => position)),
        ],
      );
    }
  }

  async #claim(claims: Claim[]): Promise<ClaimedConnection[]> {
    const { rows } = await this.#options.pool.query<{
      number: number;
      claimed: boolean;
      first: boolean;
      last_position: string | null;
    }>({
      name: 'connections-claim',
      text: `SELECT * FROM work.claim_connections($1, $2::int[], $3::int[], $4::int[], $5::text[], $6::text[], $7::int[],
        $8::bigint[])`,
      values: [
        this.process,
        intArray(claims.map(({ number }) => number)),
        intArray(claims.map(({ workspace }) => workspace)),
        intArray(claims.map(({ account }) => account)),
        textArray(claims.map(({ credential }) => credential)),
        textArray(claims.map(({ limit }) => limit?.scope ?? null)),
        intArray(claims.map(({ limit }) => limit?.max ?? 0)),
        bigintArray(claims.map(({ position }) => position)),
      ],
    });
    if (rows.length === 0) throw new BuriedError();
    const byNumber = new Map(rows.map((row) => [row.number, row]));
    return claims.map(({ number }) => {
      const row = byNumber.get(number);
      const last = row?.last_position ?? null;
      return {
        number,
        claimed: row?.claimed ?? false,
        first: row?.first ?? false,
        lastPosition: last === null ? null : BigInt(last),
      };
    });
  }

  async #end(ends: End[]): Promise<boolean[]> {
    const { rows } = await this.#options.pool.query<{ number: number; last: boolean }>({
      name: 'connections-end',
      text: 'SELECT * FROM work.end_connections($1, $2::int[], $3::bigint[])',
      values: [
        this.process,
        intArray(ends.map(({ number }) => number)),
        bigintArray(ends.map(({ position }) => position)),
      ],
    });
    const last = new Map(rows.map((row) => [row.number, row.last]));
    return ends.map(({ number }) => last.get(number) ?? false);
  }

  async #ask(questions: Question[]): Promise<Set<number>[]> {
    const answers = questions.map(() => new Set<number>());
    const asked = questions.flatMap(({ workspace, accounts }, nth) =>
      accounts.map((account) => ({ nth, workspace, account })),
    );
    const { rows } = await this.#options.pool.query<{ nth: number; account: number }>({
      name: 'connections-online',
      text: `SELECT u.nth, u.account FROM unnest($1::int[], $2::int[], $3::int[]) AS u(nth, workspace, account)
        WHERE EXISTS (SELECT FROM work.connections c JOIN work.gateways g ON g.process = c.process AND g.until > now()
                       WHERE c.workspace = u.workspace AND c.account = u.account)`,
      values: [
        intArray(asked.map(({ nth }) => nth)),
        intArray(asked.map(({ workspace }) => workspace)),
        intArray(asked.map(({ account }) => account)),
      ],
    });
    for (const { nth, account } of rows) answers[nth]?.add(account);
    return answers;
  }
}
