/**
 * `kill9`: the server and its Postgres are killed at random moments under a verifying load, restarted, and what they left
 * is verified (design section 3). A kill follows 0.3 to 3 s after the server answered again; one in four follows 0.3 to 1.2 s
 * after the kill before, answered or not, so that starts are killed too.
 */
import pg from 'pg';
import { readCheckpoint } from '../../src/feed/checkpoint.ts';
import { sleep } from '../../src/platform/clock.ts';
import { findRunningPostgres } from '../../src/platform/embedded-postgres.ts';
import { projectorGroup } from '../../src/readside/index.ts';
import { Client } from './client.ts';
import { type Ground, layGround, withDatabase } from './ground.ts';
import { Ledger, texts } from './ledger.ts';
import { Load, type World } from './load.ts';
import { type Random, seededRandom } from './random.ts';
import { Recovery } from './recovery.ts';
import { summary } from './summary.ts';
import { type Verdict, verifyData } from './verify.ts';

/** What is killed. `process`: one of Postgres's other processes, upon which it restarts itself. */
export type KillKind = 'server' | 'postgres' | 'both' | 'process';

/** What a run is told. */
export interface Kill9Options {
  readonly cycles: number;
  readonly seed: number;
  readonly print: (line: string) => void;
}

/** What happened in a run. */
export interface Kill9Run {
  readonly cycles: number;
  readonly kills: Record<KillKind, number>;
  /** Kills that fell into a start. */
  startsKilled: number;
  /** What must not happen and is no matter of the data: the server ended by itself, or did not stop cleanly. */
  readonly problems: string[];
  readonly ledger: Ledger;
  readonly recovery: Recovery;
  readonly durationMs: () => number;
}

const readyWithinMs = 60_000;
const recoverWithinMs = 60_000;
const quietWithinMs = 120_000;
const stopWithinMs = 30_000;
/** For everything beside the cycles, and for each of them: beyond that the run is given up. */
const runWithinMs = { base: 400_000, cycle: 130_000 };
const killAgainShare = 0.25;
/** Before a server that ended by itself is started again. */
const ownEndPauseMs = 200;

/** Runs the cycles and verifies; answers whether every promise was kept. */
export async function kill9({ cycles, seed, print }: Kill9Options): Promise<boolean> {
  print(`seed ${seed}`);
  const startedAt = Date.now();
  const random = seededRandom(seed);
  const ground = await layGround(random.fork('ground'));
  const giveUp = setTimeout(
    () => {
      print(`the run did not end in time: given up; data and logs are in ${ground.dir}`);
      void ground.close(true).finally(() => process.exit(1));
    },
    runWithinMs.base + cycles * runWithinMs.cycle,
  );
  const run: Kill9Run = {
    cycles,
    kills: { server: 0, postgres: 0, both: 0, process: 0 },
    startsKilled: 0,
    problems: [],
    ledger: new Ledger(),
    recovery: new Recovery(),
    durationMs: () => Date.now() - startedAt,
  };
  let passed = false;
  try {
    const verdict = await play(ground, run, random, print);
    for (const text of run.problems) print(`problem: ${text}`);
    for (const { kind, text } of verdict.breaches) print(`${kind}: ${text}`);
    passed = run.problems.length === 0 && run.ledger.unexpectedAnswers === 0 && verdict.breaches.length === 0;
    print(summary(run, verdict, passed));
  } finally {
    clearTimeout(giveUp);
    if (!passed) print(`data and logs are in ${ground.dir}`);
    await ground.close(!passed);
  }
  return passed;
}

async function play(ground: Ground, run: Kill9Run, random: Random, print: (line: string) => void): Promise<Verdict> {
  const { server, postgres } = ground;
  const client = new Client(server.base);
  let load: Load | null = null;
  try {
    server.start();
    await answering(ground);
    load = new Load({ client, ledger: run.ledger, world: await makeWorld(client), random: random.fork('load') });
    const killer = new Killer(ground, run, random.fork('kills'), () => load?.killed());
    run.ledger.onAcknowledged = (requestedAt) => {
      run.recovery.answered(requestedAt);
      killer.answered(requestedAt);
    };
    load.start();
    for (let cycle = 1; cycle <= run.cycles; cycle++) print(`${cycle}/${run.cycles} ${await killer.cycle(cycle)}`);
    await answering(ground);
    await load.finish();
    await quiet(ground, print);
    run.problems.push(...(await complaints(ground)));
  } finally {
    load?.stop();
    await client.close();
  }
  const ended = await server.stop(stopWithinMs);
  if (ended.code !== 0) run.problems.push(`SIGTERM ended the server with ${ended.code ?? ended.signal}, not with 0`);
  await postgres.gone().catch((error: unknown) => {
    run.problems.push(String(error));
    postgres.killNow();
  });
  const evidence = { commands: run.ledger.commands, arrivals: ground.arrivals, inFlightMs: ground.inFlightMs() };
  run.problems.push(...run.ledger.unexpected.map((text) => `unexpected answer to ${text}`));
  return withDatabase(ground.dataDir, (url) => verifyData(url, evidence));
}

/** Resolves when the server is ready, started anew if it is not there. */
async function answering({ server, dir }: Ground): Promise<void> {
  if (!server.isRunning) server.start();
  if (!(await server.ready(AbortSignal.timeout(readyWithinMs))))
    throw new Error(`the server was not ready within ${readyWithinMs} ms; its log is in ${dir}/server.log`);
}

/** What the server's own figures and the providers have to complain of. */
async function complaints({ server, sandbox }: Ground): Promise<string[]> {
  const found: string[] = [];
  const response = await fetch(`${server.base}/metrics`, { signal: AbortSignal.timeout(readyWithinMs) });
  const gaps = /^\w*log_gap_total\S* (\S+)$/m.exec(await response.text())?.[1];
  if (gaps !== '0') found.push(`the server's metrics tell ${gaps ?? 'nothing of'} gaps in the log`);
  for (const [provider, { callbacks }] of Object.entries(sandbox.counts())) {
    const lost = callbacks.failed + callbacks.dropped;
    if (lost > 0) found.push(`${lost} receipts of ${provider} were not taken`);
  }
  return found;
}

/** What the load works on, made through a server that answers. */
export async function makeWorld(client: Client): Promise<World> {
  const post = <T>(path: string, credential: string | null, json: unknown): Promise<T> =>
    client.must<T>({ method: 'POST', path: `/api/v1${path}`, credential, json });
  const person = { email: 'faults@example.com', password: 'a password', name: 'Faults' };
  const { token } = await post<{ token: string }>('/auth/register', null, person);
  const { id: projectId } = await post<{ id: string }>('/projects', token, { name: 'under faults' });
  const home = `/projects/${projectId}`;
  const { key } = await post<{ key: string }>(`${home}/keys`, token, { name: 'writers', rateLimit: 1_000_000_000 });
  const connector = async (type: string, credentials: object): Promise<string> =>
    (await post<{ id: string }>(`${home}/connectors`, token, { type, name: type, credentials })).id;
  const template = { name: 'numbered', connectorType: 'whatsapp', content: texts.template(0), variables: ['number'] };
  const { id: templateId } = await post<{ id: string }>(`${home}/templates`, token, template);
  return {
    token,
    key,
    projectId,
    templateId,
    connectorIds: {
      whatsapp: await connector('whatsapp', { phoneNumberId: '106540352242922', accessToken: 'EAAG0faults' }),
      telegram: await connector('telegram', { botToken: '110201543:AAHfaults' }),
      twilio: await connector('twilio', {
        accountSid: `AC${'0'.repeat(32)}`,
        authToken: 'f'.repeat(32),
        fromNumber: '+15557654321',
      }),
    },
  };
}

/** Kills and restarts. */
class Killer {
  readonly #ground: Ground;
  readonly #run: Kill9Run;
  readonly #random: Random;
  readonly #onKilled: () => void;
  #startedAt = 0;
  /** The next kill comes after an answer. */
  #isWaiting = true;
  /** The server has acknowledged something since its last start. */
  #wasReady = true;

  constructor(ground: Ground, run: Kill9Run, random: Random, onKilled: () => void) {
    this.#ground = ground;
    this.#run = run;
    this.#random = random;
    this.#onKilled = onKilled;
    ground.server.onOwnEnd = ({ code, signal }) => {
      // A start whose Postgres was killed may give up: it says so and ends. What ran must go on.
      if (this.#wasReady) run.problems.push(`the server ended by itself (${signal ?? code})`);
      setTimeout(() => this.#start(), ownEndPauseMs);
    };
  }

  /** A command was acknowledged. `requestedAt` in milliseconds since the epoch. */
  answered(requestedAt: number): void {
    if (requestedAt > this.#startedAt) this.#wasReady = true;
  }

  /** Waits, kills, restarts, and mostly waits until the server answers again; tells what happened. */
  async cycle(number: number): Promise<string> {
    const random = this.#random.fork(String(number));
    const waitMs = random.int(300, this.#isWaiting ? 3_000 : 1_200);
    await sleep(waitMs);
    if (!this.#wasReady) this.#run.startsKilled++;
    const kind = await this.#kill(random);
    this.#run.kills[kind]++;
    const said = `${kind} killed after ${(waitMs / 1_000).toFixed(2)} s`;
    this.#isWaiting = number === this.#run.cycles || !random.chance(killAgainShare);
    if (!this.#isWaiting) return `${said}, not waiting for an answer`;
    const answered = await this.#run.recovery.recovered(recoverWithinMs);
    if (answered === null)
      throw new Error(`no command was acknowledged within ${recoverWithinMs} ms of the kill (${this.#ground.dir})`);
    return `${said}, answered again after ${(answered / 1_000).toFixed(2)} s, ${this.#run.ledger.acknowledged} commands acknowledged so far`;
  }

  async #kill(random: Random): Promise<KillKind> {
    const { server, postgres } = this.#ground;
    const draw = random.next();
    const pauseMs = random.chance(0.5) ? 0 : random.int(1, 500);
    const isServerFirst = random.chance(0.5);
    const gapMs = random.int(0, 30);
    let kind: KillKind = draw < 0.35 ? 'server' : draw < 0.65 ? 'postgres' : draw < 0.9 ? 'both' : 'process';
    this.#run.recovery.killed();
    if (kind === 'postgres' && !postgres.killPostmaster()) kind = 'server';
    if (kind === 'process' && !postgres.killOther(random)) kind = 'server';
    if (kind === 'both') {
      if (isServerFirst) await server.kill();
      else postgres.killPostmaster();
      await sleep(gapMs);
      if (isServerFirst) postgres.killPostmaster();
      else await server.kill();
    }
    if (kind === 'server') await server.kill();
    this.#onKilled();
    if (kind === 'server' || kind === 'both') {
      await sleep(pauseMs);
      this.#start();
    }
    return kind;
  }

  #start(): void {
    if (this.#ground.server.isRunning) return;
    this.#wasReady = false;
    this.#startedAt = Date.now();
    this.#ground.server.start();
  }
}

/** Waits until nothing is due, no receipt is on its way, and the projector is at the head; what never ends is told later. */
async function quiet({ dataDir, sandbox }: Ground, print: (line: string) => void): Promise<void> {
  const running = await findRunningPostgres(dataDir);
  if (!running) throw new Error('the server has no Postgres');
  const client = new pg.Client({ connectionString: running.url });
  client.on('error', () => {});
  await client.connect();
  try {
    let calmAt = -1n;
    for (const until = Date.now() + quietWithinMs; ; await sleep(500)) {
      const { callbacks } = Object.values(sandbox.counts()).reduce(
        (sum, provider) => ({ callbacks: sum.callbacks + provider.callbacks.pending }),
        { callbacks: 0 },
      );
      const { rows } = await client.query<{ head: string; pending: number }>(
        `SELECT (SELECT position FROM log.head)::text AS head, count(*)::int AS pending FROM log.events a
          WHERE a.type = 'DispatchAccepted' AND NOT EXISTS (SELECT FROM log.events e
            WHERE e.stream = a.stream AND e.type IN ('DispatchSent', 'DispatchDelivered', 'DispatchFailed'))`,
      );
      const { head, pending } = rows[0] ?? { head: '0', pending: 0 };
      const checkpoint = await readCheckpoint(client, projectorGroup);
      const isCalm = pending === 0 && callbacks === 0 && checkpoint === BigInt(head);
      if (isCalm && calmAt === checkpoint) return;
      calmAt = isCalm ? checkpoint : -1n;
      if (Date.now() < until) continue;
      print(`not quiet: ${pending} dispatches and ${callbacks} receipts open, projector at ${checkpoint} of ${head}`);
      return;
    }
  } finally {
    await client.end();
  }
}
