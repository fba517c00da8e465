/**
 * Claims on EventStoreDB are several appends: here the writer is stopped after every single one of them, killed or frozen,
 * and then another retries or competes. Exactly one owner, one effect, the first answer again (design section 4).
 */
import { EventStoreDBClient } from '@eventstore/db-client';
import t, { type Test } from 'tap';
import type { Commit, Log, Outcome } from '../../../src/log/log.ts';
import { appendOne, commitTo, profile } from '../../support/log-load.ts';
import { startWriter, type Writer, WriterGoneError } from '../../support/log-writer.ts';
import { type EventStore, eventStoreServer } from './eventstoredb-store.ts';
import { mustBeWritten, openHandle, show, tailToHead } from './harness.ts';

/** Scenarios that run at once. */
const concurrency = 6;

interface Scenario {
  readonly id: string;
  readonly claims: readonly string[];
  /** Appends that were answered when it stopped: of each claim, in the order of names, then of the events. */
  readonly afterAppends: number;
  readonly by: 'SIGKILL' | 'SIGSTOP';
  readonly then: 'retry' | 'rival of one name' | 'rival of all names' | 'rival of the stream';
}

function scenarios(): Scenario[] {
  const all: Scenario[] = [];
  for (const claims of [['a'], ['a', 'b']]) {
    for (let afterAppends = 1; afterAppends <= claims.length + 1; afterAppends++) {
      for (const by of ['SIGKILL', 'SIGSTOP'] as const) {
        for (const then of ['retry', 'rival of one name', 'rival of all names', 'rival of the stream'] as const) {
          const id = `${claims.length}-${afterAppends}-${by}-${then.replaceAll(' ', '-')}`;
          all.push({ id, claims, afterAppends, by, then });
        }
      }
    }
  }
  return all;
}

const server = await eventStoreServer(t);

await t.test('a writer stopped after every append of a commit', async (t) => {
  const store = await server.fresh(t);
  const [log, other] = [await openHandle(t, store), await openHandle(t, store)];
  const client = EventStoreDBClient.connectionString(store.url);
  t.teardown(() => client.dispose());
  const queue = scenarios().values();
  const faults: string[] = [];
  const run = async (): Promise<void> => {
    for (const scenario of queue) {
      for (const fault of await play(t, { store, log, other, client }, scenario))
        faults.push(`${scenario.id}: ${fault}`);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, run));
  t.same(faults, []);
  t.comment(`${scenarios().length} scenarios`);
});

interface Stage {
  readonly store: EventStore;
  readonly log: Log;
  readonly other: Log;
  readonly client: EventStoreDBClient;
}

/** Plays one scenario; what was wrong in it. */
async function play(t: Test, { store, log, other, client }: Stage, scenario: Scenario): Promise<string[]> {
  const { id, by, then, afterAppends } = scenario;
  const names = scenario.claims.map((name) => `${id}/${name}`);
  const claims = names.map((name) => ({ name, made: `made by ${id}` }));
  const events = [profile('0'), profile('1')];
  const commit = commitTo(`stopped-${id}`, { events, claims });
  const writer = await startWriter(t, { ...store.target, stop: { afterAppends, by } });
  const answer = writer.append([commit]).then(
    ([outcome]) => outcome ?? null,
    (error: unknown) => {
      if (error instanceof WriterGoneError) return null;
      throw error;
    },
  );
  const last = afterAppends > names.length ? `.stopped-${id}` : `!${names[afterAppends - 1]}`;
  await untilThere(client, `${store.namespace}${last}`);
  if (by === 'SIGKILL') await answer;

  const rivals = rivalsOf(scenario, commit, names);
  const answers = new Map<Commit, Outcome[]>([
    [commit, []],
    ...rivals.map((rival): [Commit, Outcome[]] => [rival, []]),
  ]);
  const ask = async (handle: Log, asked: Commit) => answers.get(asked)?.push(await appendOne(handle, asked));
  for (const rival of rivals) await ask(other, rival);
  // Who was stopped asks again by way of another process, while it is still stopped, and wakes later.
  if (then === 'retry') await ask(other, commit);
  const own = await wake(writer, answer);
  if (own) answers.get(commit)?.push(own);
  for (const handle of [log, other]) for (const asked of answers.keys()) await ask(handle, asked);
  return judge({ log, answers, names, commit, then, whole: afterAppends > names.length });
}

function rivalsOf({ id, then }: Scenario, commit: Commit, names: readonly string[]): Commit[] {
  const rival = (stream: string, claimed: readonly string[]) =>
    commitTo(stream, { claims: claimed.map((name) => ({ name, made: `made by a rival of ${id}` })) });
  switch (then) {
    case 'retry':
      return [];
    case 'rival of one name':
      return [rival(`rival-${id}`, names.slice(-1))];
    case 'rival of all names':
      return [rival(`rival-${id}`, names.toReversed())];
    case 'rival of the stream':
      return [rival(commit.stream, [])];
  }
}

/** Lets a frozen writer go on; its answer, when it lives to give one. */
async function wake(writer: Writer, answer: Promise<Outcome | null>): Promise<Outcome | null> {
  // What it wrote is seen before it has its answer: it may be about to stop only now.
  const thawing = setInterval(() => writer.thaw(), 50);
  try {
    return await answer;
  } finally {
    clearInterval(thawing);
    await writer.kill();
  }
}

interface Verdict {
  readonly log: Log;
  readonly answers: ReadonlyMap<Commit, readonly Outcome[]>;
  readonly names: readonly string[];
  readonly commit: Commit;
  readonly then: Scenario['then'];
  /** The writer was stopped when all of its commit was there. */
  readonly whole: boolean;
}

/** Holds the answers against the log. */
async function judge({ log, answers, names, commit, then, whole }: Verdict): Promise<string[]> {
  const faults: string[] = [];
  const commits = [...answers.keys()];
  const written: Commit[] = [];
  for (const each of commits) {
    const { events } = await log.read(each.stream);
    const count = events.filter(({ commitId }) => commitId === each.commitId).length;
    if (count > 0) written.push(each);
    if (count !== 0 && count !== each.events.length) faults.push(`${count} of ${each.events.length} events`);
  }
  const [winner] = written;
  if (!winner || written.length > 1) return [...faults, `${written.length} of ${commits.length} commits are there`];
  if (whole && winner !== commit) faults.push('what was written lost');
  if (then !== 'retry' && !whole && winner === commit) faults.push('a stopped writer held everybody up');
  const first = answers.get(winner)?.find(({ outcome }) => outcome === 'written' || outcome === 'replayed');
  for (const each of commits) {
    for (const [number, outcome] of (answers.get(each) ?? []).entries()) {
      const fault = each === winner ? faultOfWinner(outcome, first) : faultOfLoser(outcome, winner, then);
      if (fault) faults.push(`${each === commit ? 'the stopped' : 'the rival'}, answer ${number}: ${fault}`);
    }
    const news = (answers.get(each) ?? []).filter(({ outcome }) => outcome === 'written').length;
    if (news > 1) faults.push('written was answered twice');
  }
  // Who owns the names now: the winner what it claimed, and nobody else anything.
  for (const name of names) {
    const outcome = await appendOne(log, commitTo(`probe ${name}`, { claims: [{ name }] }));
    const held = winner.claims?.find((claim) => claim.name === name);
    const right = held
      ? outcome.outcome === 'taken' && outcome.by.stream === winner.stream && outcome.by.made === held.made
      : outcome.outcome === 'written';
    if (!right) faults.push(`${name} is ${held ? 'the winner’s' : 'free'}, but a probe was answered ${show(outcome)}`);
  }
  return faults;
}

function faultOfWinner(outcome: Outcome, first: Outcome | undefined): string | null {
  if (outcome.outcome !== 'written' && outcome.outcome !== 'replayed') return `the winner was told ${show(outcome)}`;
  const same = first?.outcome === 'written' || first?.outcome === 'replayed' ? first : null;
  return outcome.position === same?.position && outcome.revision === same.revision
    ? null
    : `${show(outcome)} after ${first && show(first)}`;
}

function faultOfLoser(outcome: Outcome, winner: Commit, then: Scenario['then']): string | null {
  const right =
    then === 'rival of the stream'
      ? outcome.outcome === 'conflict'
      : outcome.outcome === 'taken' && outcome.by.stream === winner.stream;
  return right ? null : `a loser was told ${show(outcome)}`;
}

/** Resolves when a stream of the server holds something. */
async function untilThere(client: EventStoreDBClient, stream: string): Promise<void> {
  const subscription = client.subscribeToStream(stream);
  subscription.on('error', () => {});
  for await (const _ of subscription) break;
  await subscription.unsubscribe().catch(() => {});
}

await t.test('an undecided claim is waited for, not fenced, while its writer goes on', async (t) => {
  const store = await server.fresh(t);
  const log = await store.openWith({});
  t.teardown(() => log.close());
  const other = await store.openWith({});
  t.teardown(() => other.close());
  for (let round = 0; round < 20; round++) {
    const name = `name-${round}`;
    const [one, two] = await Promise.all([
      appendOne(log, commitTo(`one-${round}`, { claims: [{ name }] })),
      appendOne(other, commitTo(`two-${round}`, { claims: [{ name }] })),
    ]);
    t.same([one.outcome, two.outcome].sort(), ['taken', 'written']);
  }
  t.equal(log.fences + other.fences, 0);
  t.equal((await tailToHead(t, log)).length, 20);
});

await t.test('a fence is no event: readers pass over it, and its place is taken', async (t) => {
  const store = await server.fresh(t);
  const log = await openHandle(t, store);
  const commit = commitTo('fenced', { claims: [{ name: 'a' }, { name: 'b' }] });
  const writer = await startWriter(t, { ...store.target, stop: { afterAppends: 1, by: 'SIGKILL' } });
  await t.rejects(writer.append([commit]), WriterGoneError);
  const winner = mustBeWritten(await appendOne(log, commitTo('winner', { claims: [{ name: 'a' }] })));
  t.same(await log.read('fenced'), { events: [], revision: 0, closed: false });
  t.same(
    (await tailToHead(t, log)).map(({ stream }) => stream),
    ['winner'],
  );
  t.equal(await log.head(), winner.position);
  t.match(await appendOne(log, commit), { outcome: 'taken', name: 'a', by: { stream: 'winner' } });
  // Without names that others hold, a fence in its place is a conflict; behind it the stream goes on.
  t.same(await appendOne(log, { ...commit, claims: [{ name: 'c' }] }), { outcome: 'conflict', revision: 0 });
  const after = mustBeWritten(await appendOne(log, { ...commit, expected: 0, claims: [{ name: 'b' }] }));
  t.equal(after.revision, 1);
  t.same(
    (await log.read('fenced')).events.map(({ revision }) => revision),
    [1],
  );
});
