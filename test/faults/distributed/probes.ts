/** How long it takes until everything is as it should be again: measured from outside, by commands of the probes' own. */
import pg from 'pg';
import { sleep } from '../../../src/platform/clock.ts';
import { projectorGroup } from '../../../src/readside/index.ts';
import { judge } from '../client.ts';
import type { Ledger } from '../ledger.ts';
import type { World } from '../load.ts';
import type { DistributedGround } from './ground.ts';
import type { Room } from './room.ts';

/** What is measured. */
export type Measure = 'commands' | 'relay' | 'rows' | 'groups' | 'delivery' | 'sockets' | 'credentials';

/** What each is, and the bar that it is printed beside, in seconds, as far as there is one. */
export const measures: Readonly<Record<Measure, { readonly meaning: string; readonly barS: number | null }>> = {
  commands: { meaning: 'each api process accepts commands', barS: null },
  relay: { meaning: 'what the first of them accepted then is in the topic', barS: 5 },
  rows: { meaning: 'and in the rows', barS: 10 },
  groups: { meaning: 'and every other consumer group has had it', barS: 10 },
  delivery: { meaning: 'and has left', barS: 10 },
  sockets: { meaning: 'the frame of the first message posted after the fault has come, to every socket', barS: null },
  credentials: { meaning: 'a key that one api revoked is dead on the other, from the answer on', barS: 1 },
};

/** Milliseconds; null: not within `recoverWithinMs`. */
export type Times = Readonly<Record<Measure, number | null>>;

/** Beyond that a run has failed. */
export const recoverWithinMs = 60_000;
const requestTimeoutMs = 15_000;
const pollMs = 25;

interface Asked {
  readonly status: number;
  readonly text: string;
  readonly position: bigint | null;
}

/** Asks one of the API's processes; null without a whole answer. */
export async function ask(
  base: string,
  method: string,
  where: string,
  credential: string,
  options: { readonly json?: unknown; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<(Asked & { readonly stale: boolean }) | null> {
  const { json, headers } = options;
  try {
    const response = await fetch(`${base}/api/v1${where}`, {
      method,
      signal: AbortSignal.timeout(requestTimeoutMs),
      headers: {
        authorization: `Bearer ${credential}`,
        ...(json !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(json !== undefined && { body: JSON.stringify(json) }),
    });
    const text = await response.text();
    const position = response.headers.get('x-parley-position');
    return {
      status: response.status,
      text,
      position: position === null ? null : BigInt(position),
      stale: response.headers.has('x-parley-stale'),
    };
  } catch {
    return null;
  }
}

/** Measures recoveries on one ground. */
export class Probes {
  readonly #ground: DistributedGround;
  readonly #ledger: Ledger;
  readonly #world: World;
  readonly #room: Room;
  /** Past the proxy: what is away for Parley is not away for us, but for the kills. */
  readonly #db: pg.Pool;
  /** Numbers of probes that arrived at the sandbox. */
  readonly #arrived = new Map<number, number>();
  readonly #endListening: () => void;

  constructor(ground: DistributedGround, ledger: Ledger, world: World, room: Room) {
    this.#ground = ground;
    this.#ledger = ledger;
    this.#world = world;
    this.#room = room;
    this.#db = new pg.Pool({ connectionString: ground.postgres.url, max: 3, connectionTimeoutMillis: 2_000 });
    this.#db.on('error', () => {});
    this.#endListening = ground.onArrival((number) => {
      if (!this.#arrived.has(number)) this.#arrived.set(number, Date.now());
    });
  }

  async close(): Promise<void> {
    this.#endListening();
    await this.#db.end();
  }

  /** The name of the process that relays now; null when nobody does. */
  async leader(): Promise<string | null> {
    const { rows } = await this.#db.query<{ holder: string }>('SELECT holder FROM work.relays WHERE until > now()');
    const pid = Number(rows[0]?.holder.split('/').at(-1));
    return this.#ground.nodes.of('relay').find(({ server }) => server.pid === pid)?.name ?? null;
  }

  /** Measures from a moment (milliseconds since the epoch) on. */
  async measure(since: number): Promise<Times> {
    const until = since + recoverWithinMs;
    const bases = this.#ground.nodes.of('api').map(({ server }) => server.base);
    const sends = bases.map((base) => this.send(base, until));
    const all = Promise.all(sends).then((done) => (done.includes(null) ? null : Date.now() - since));
    const frames = this.#room.recovers(since, until);
    const first = await firstOf(sends);
    if (first === null)
      return {
        ...{ commands: null, relay: null, rows: null, groups: null, delivery: null, credentials: null },
        sockets: await frames,
      };
    const { position, number } = first;
    const at = (sql: string) => this.#reaches(sql, position, since, until);
    const [commands, relay, rows, groups, delivery, sockets, credentials] = await Promise.all([
      all,
      at('SELECT min(position) AS position FROM work.relays'),
      at(`SELECT min(position) AS position FROM work.checkpoints WHERE "group" = '${projectorGroup}'`),
      at('SELECT min(position) AS position FROM work.checkpoints'),
      this.#arrives(number, since, until),
      frames,
      all.then((ms) => (ms === null ? null : this.#revoke(bases, until))),
    ]);
    return { commands, relay, rows, groups, delivery, sockets, credentials };
  }

  /** Gives one keyed command to one process until it is acknowledged; null when it is not in time. */
  async send(base: string, until: number): Promise<{ number: number; id: string; position: bigint } | null> {
    const record = this.#ledger.open('send', true);
    const { connectorIds, key, templateId } = this.#world;
    const json = {
      to: `+15557${String(record.number).padStart(6, '0')}9000`,
      connectorId: connectorIds.whatsapp,
      templateId,
      variables: { number: String(record.number) },
    };
    const headers = { 'idempotency-key': `probe ${record.number}` };
    while (Date.now() < until) {
      const requestedAt = Date.now();
      const asked = await ask(base, 'POST', '/messages', key, { json, headers });
      const answer = judge(asked, 'messageId');
      this.#ledger.note(record, answer, requestedAt);
      if (answer.outcome === 'acknowledged' && answer.id !== null && asked?.position != null)
        return { number: record.number, id: answer.id, position: asked.position };
      await sleep(pollMs);
    }
    return null;
  }

  async #reaches(sql: string, position: bigint, since: number, until: number): Promise<number | null> {
    while (Date.now() < until) {
      const found = await this.#db.query<{ position: string | null }>(sql).catch(() => null);
      if (found && BigInt(found.rows[0]?.position ?? 0) >= position) return Date.now() - since;
      await sleep(pollMs);
    }
    return null;
  }

  async #arrives(number: number, since: number, until: number): Promise<number | null> {
    while (Date.now() < until) {
      const at = this.#arrived.get(number);
      if (at !== undefined) return at - since;
      await sleep(pollMs);
    }
    return null;
  }

  /** From the moment at which the first process has answered a revocation until the second refuses the key. */
  async #revoke([one = '', two = '']: readonly string[], until: number): Promise<number | null> {
    const { projectId, token } = this.#world;
    const home = `/projects/${projectId}/keys`;
    const isOver = () => Date.now() > until;
    for (; ; await sleep(pollMs)) {
      if (isOver()) return null;
      const made = await ask(one, 'POST', home, token, { json: { name: 'probe' } });
      if (made?.status !== 201) continue;
      const { id, key } = JSON.parse(made.text) as { id: string; key: string };
      // A body that is no send: the key is judged, and nothing is sent.
      const isAnswered = async (status: number) =>
        (await ask(two, 'POST', '/messages', key, { json: {} }))?.status === status;
      for (; !(await isAnswered(400)); await sleep(pollMs)) if (isOver()) return null;
      const revoked = await ask(one, 'DELETE', `${home}/${id}`, token);
      if (revoked?.status !== 204) continue;
      const at = Date.now();
      // Neither 503 nor no answer says that it is dead.
      while (!(await isAnswered(401))) if (isOver()) return null;
      return Date.now() - at;
    }
  }
}

/** What the first of them resolves with that is not null; null when all are. */
async function firstOf<T>(all: readonly Promise<T | null>[]): Promise<T | null> {
  const found = all.map(async (each) => (await each) ?? Promise.reject(new Error('none')));
  return Promise.any(found).catch(() => null);
}
