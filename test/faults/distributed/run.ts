/**
 * `distributed`: Parley's processes, one per role, on real servers, under a steady verifying load; faults, each in turn, in an
 * order drawn from the seed. After each it is measured how long everything takes to be as it should be; at the end what is
 * left is verified (design section 3).
 */
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { readCheckpoint, readGroup } from '../../../src/feed/checkpoint.ts';
import { sleep } from '../../../src/platform/clock.ts';
import { projectorGroup } from '../../../src/readside/index.ts';
import { whyNoKafka } from '../../support/kafka/kafka.ts';
import { makeWorld } from '../kill9.ts';
import { Ledger } from '../ledger.ts';
import { Load, type World } from '../load.ts';
import { seededRandom } from '../random.ts';
import { breachWords } from '../summary.ts';
import type { Verdict } from '../verify.ts';
import { type FrameVerdict, frameWords, isKept } from './frames.ts';
import { type DistributedGround, layGround } from './ground.ts';
import { chatterOf, maxLinesPerSecond } from './log-lines.ts';
import { SpreadClient } from './nodes.ts';
import { type Fault, longDurations, planOf, seconds, shortDurations } from './plan.ts';
import { type Measure, measures, Probes, recoverWithinMs, type Times } from './probes.ts';
import { Reader } from './reader.ts';
import { Room } from './room.ts';
import type { FaultStack } from './servers.ts';
import { verifyGround, withLog } from './verify.ts';

/** What a run is told. */
export interface DistributedOptions {
  readonly seed: number;
  readonly stack: FaultStack;
  /** Each fault once, with shorter absences: for CI. */
  readonly short: boolean;
  /** Only faults whose name has this in it. */
  readonly only: string;
  readonly print: (line: string) => void;
}

/** Pauses of the load, so that it gives about 50 commands a second: the machine has other things to do. */
const slower = 4;
const quietWithinMs = 120_000;
/** A run that takes longer is given up. */
const runWithinMs = { short: 10 * 60_000, long: 60 * 60_000 };

/** What a run has found. */
class Run {
  readonly ledger = new Ledger();
  readonly problems: string[] = [];
  readonly worst = new Map<Measure, number>();
  faults = 0;
  over = 0;
  reads = { seen: 0, refused: 0 };
  /** What the sockets were shown, in words, and the judgement of it. */
  shown = '';
  frames: FrameVerdict = { missing: 0, repeated: 0, disordered: 0, texts: [] };
  readonly #startedAt = Date.now();

  get durationMs(): number {
    return Date.now() - this.#startedAt;
  }

  /** Notes what was measured; answers it in words. */
  note(fault: string, times: Times): string {
    const names = Object.keys(measures) as Measure[];
    const missing = names.filter((name) => times[name] === null);
    if (missing.length > 0)
      this.problems.push(`after ${fault}: not within ${seconds(recoverWithinMs)}: ${missing.join(', ')}`);
    const told = names.map((name) => {
      const ms = times[name];
      if (ms === null) return `${name} NOT`;
      this.worst.set(name, Math.max(this.worst.get(name) ?? 0, ms));
      const { barS } = measures[name];
      const isOver = barS !== null && ms > barS * 1_000;
      if (isOver) this.over++;
      return `${name} ${seconds(ms)}${isOver ? ` (bar ${barS} s)` : ''}`;
    });
    return told.join(', ');
  }
}

/** Runs the faults and verifies; answers whether every promise was kept. */
export async function distributed(options: DistributedOptions): Promise<boolean> {
  const { seed, stack, short, print } = options;
  print(`seed ${seed}, ${stack}${short ? ', short' : ''}`);
  const why = await whyNoKafka();
  if (why !== null) throw new Error(`no Kafka can run here: ${why}`);
  const random = seededRandom(seed, 'distributed');
  const ground = await layGround(stack, random.fork('ground'));
  const giveUp = setTimeout(
    () => {
      print(`the run did not end in time: given up; data and logs are in ${ground.dir}`);
      void ground.close(true).finally(() => process.exit(1));
    },
    runWithinMs[short ? 'short' : 'long'],
  );
  const run = new Run();
  let passed = false;
  try {
    const verdict = await play(ground, run, options);
    for (const text of run.problems) print(`problem: ${text}`);
    for (const { kind, text } of verdict.breaches) print(`${kind}: ${text}`);
    for (const text of run.frames.texts) print(`frames: ${text}`);
    const isWhole = verdict.breaches.length === 0 && isKept(run.frames);
    passed = run.problems.length === 0 && run.ledger.unexpectedAnswers === 0 && isWhole;
    for (const line of bars(run)) print(line);
    print(summary(run, options, verdict, passed));
  } finally {
    clearTimeout(giveUp);
    if (!passed) print(`data and logs are in ${ground.dir}`);
    await ground.close(!passed);
  }
  return passed;
}

async function play(ground: DistributedGround, run: Run, options: DistributedOptions): Promise<Verdict> {
  const { print, seed } = options;
  const { nodes } = ground;
  const bases = nodes.of('api').map(({ server }) => server.base);
  const client = new SpreadClient(bases);
  const reader = new Reader();
  let load: Load | null = null;
  let probes: Probes | null = null;
  let room: Room | null = null;
  try {
    await nodes.start();
    const world = await makeWorld(client);
    await knownEverywhere(bases, world);
    const random = seededRandom(seed, 'distributed load');
    load = new Load({ client, ledger: run.ledger, world, random, slower });
    room = await Room.open({ bases, socketPort: ground.socketPort });
    probes = new Probes(ground, run.ledger, world, room);
    print(`before any fault: ${run.note('the start', await probes.measure(Date.now()))}`);
    load.start();
    room.start();
    reader.start(probes, bases, world);
    await playFaults(ground, run, options, { load, probes });
    await load.finish();
    await reader.stop();
    await room.stop();
    await quiet(ground, run);
    await room.settled();
    run.frames = room.frames.verdict();
    run.shown = room.told;
    run.problems.push(...room.problems);
  } finally {
    load?.stop();
    await reader.stop();
    room?.close();
    await probes?.close();
    await client.close();
  }
  await nodes.stop();
  run.reads = reader.counts;
  run.problems.push(
    ...nodes.problems,
    ...reader.problems,
    ...run.ledger.unexpected.map((text) => `unexpected answer to ${text}`),
    ...chatter(ground),
  );
  const { arrivals } = ground;
  return verifyGround(ground, { commands: run.ledger.commands, arrivals, inFlightMs: ground.inFlightMs() });
}

/** A key made on one node is known on the others a moment later. */
async function knownEverywhere(bases: readonly string[], world: World): Promise<void> {
  for (const base of bases)
    for (const until = Date.now() + recoverWithinMs; ; await sleep(50)) {
      const headers = { authorization: `Bearer ${world.key}`, 'content-type': 'application/json' };
      const { status } = await fetch(`${base}/api/v1/messages`, { method: 'POST', headers, body: '{}' });
      if (status === 400) break;
      if (Date.now() > until) throw new Error(`${base} answers ${status} to a key that was made elsewhere`);
    }
}

async function playFaults(
  ground: DistributedGround,
  run: Run,
  { short, only, seed, print }: DistributedOptions,
  { load, probes }: { load: Load; probes: Probes },
): Promise<void> {
  const random = seededRandom(seed, 'distributed faults');
  const faults = planOf({
    ground,
    durations: short ? shortDurations : longDurations,
    every: !short,
    random,
    leader: () => probes.leader(),
  }).filter(({ name }) => name.includes(only));
  for (const [at, fault] of faults.entries()) {
    await sleep(random.int(300, 1_500));
    const before = run.ledger.acknowledged;
    const told = await playOne(fault, run, probes);
    load.killed();
    const since = run.ledger.acknowledged - before;
    for (const line of told) print(`${at + 1}/${faults.length} ${line}`);
    print(
      `     ${since} commands acknowledged meanwhile, ${run.ledger.acknowledged} in all, ${seconds(run.durationMs)}`,
    );
    run.faults++;
  }
}

async function playOne(fault: Fault, run: Run, probes: Probes): Promise<string[]> {
  const { since, note, whole, undo } = await fault.apply();
  const times = run.note(fault.name, await probes.measure(since));
  const told = [`${fault.name} (${whole ? `${note}, ${await whole}` : note}): ${times}`];
  if (undo) {
    const woken = await undo();
    told.push(`${fault.name}, woken: ${run.note(`${fault.name}, woken`, await probes.measure(woken))}`);
  }
  return told;
}

/** Waits until nothing is due, no receipt is on its way, and every group is at the head; what never ends is a problem. */
async function quiet(ground: DistributedGround, run: Run): Promise<void> {
  const client = new pg.Client({ connectionString: ground.postgres.url });
  client.on('error', () => {});
  await client.connect();
  try {
    let calm = 0;
    for (const until = Date.now() + quietWithinMs; ; await sleep(500)) {
      const head = await withLog(ground, (log) => log.head());
      const providers = Object.values(ground.sandbox.counts());
      const receipts = providers.reduce((sum, { callbacks }) => sum + callbacks.pending, 0);
      const { rows } = await client.query<{ open: number }>(
        "SELECT count(*)::int AS open FROM read.dispatches WHERE status IN ('pending', 'sent')",
      );
      const open = rows[0]?.open ?? 0;
      const behind = await behindOf(client, head);
      calm = open === 0 && receipts === 0 && behind.length === 0 ? calm + 1 : 0;
      if (calm === 2) break;
      if (Date.now() < until) continue;
      run.problems.push(
        `not quiet: ${open} dispatches and ${receipts} receipts open; behind ${head}: ${behind.join(', ') || 'nobody'}`,
      );
      break;
    }
    for (const [provider, { callbacks }] of Object.entries(ground.sandbox.counts())) {
      const lost = callbacks.failed + callbacks.dropped;
      if (lost > 0) run.problems.push(`${lost} receipts of ${provider} were not taken`);
    }
  } finally {
    await client.end();
  }
}

/** The consumer groups that are not at the head. */
async function behindOf(client: pg.Client, head: bigint): Promise<string[]> {
  const { rows } = await client.query<{ group: string }>('SELECT DISTINCT "group" FROM work.checkpoints');
  const groups = new Set([projectorGroup, ...rows.map(({ group }) => group)]);
  const behind: string[] = [];
  for (const group of groups) {
    if ((await readCheckpoint(client, group)) >= head) continue;
    behind.push(`${group} at ${(await readGroup(client, group)).positions.join('/')}`);
  }
  return behind;
}

function chatter({ nodes }: DistributedGround): string[] {
  return nodes.all.flatMap(({ name, logPath }) =>
    chatterOf(readFileSync(logPath, 'utf8')).map(
      ({ pid, cause, lines, at }) =>
        `${name} (${pid}) said ${lines} lines within a second, ${maxLinesPerSecond} are allowed, at ${at}: ${cause}`,
    ),
  );
}

/** The worst of each measure, beside its bar. */
function bars({ worst }: Run): string[] {
  return (Object.keys(measures) as Measure[]).map((name) => {
    const { barS, meaning } = measures[name];
    const bar = barS === null ? 'no bar' : `bar on an idle machine ${barS} s`;
    return `${name.padEnd(12)} at worst ${seconds(worst.get(name) ?? 0).padStart(8)}, ${bar} (${meaning})`;
  });
}

function summary(run: Run, { stack, seed }: DistributedOptions, verdict: Verdict, passed: boolean): string {
  const { ledger } = run;
  return [
    `distributed on ${stack}, seed ${seed}: ${run.faults} faults`,
    `${ledger.acknowledged} of ${ledger.commands.length} commands acknowledged, ${ledger.replays} replays, ` +
      `${ledger.unknownAnswers} answers unknown, ${ledger.unexpectedAnswers} unexpected, ${verdict.silentEffects} effects unacknowledged`,
    `${run.reads.seen} reads on another node (${run.reads.refused} refused)`,
    `${verdict.events} events, ${verdict.accepted} dispatches (${verdict.delivered} delivered, ${verdict.failed} failed, ` +
      `${verdict.repeatedSends} sends repeated before their end was recorded)`,
    run.shown,
    `${breachWords(verdict)}, ${frameWords(run.frames)}`,
    `${run.over} recoveries over a bar, ${run.problems.length} problems`,
    `${Math.round(run.durationMs / 1_000)} s`,
    passed ? 'passed' : 'FAILED',
  ].join('; ');
}
