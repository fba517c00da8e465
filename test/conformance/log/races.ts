/** Competing processes, killed at any instruction: one owner, one effect, and the first answer again (promises 1 and 2). */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import type { Commit, Outcome } from '../../../src/log/log.ts';
import { appendOne, commitTo, profile, type Settled } from '../../support/log-load.ts';
import { startWriter, type Writer, WriterGoneError } from '../../support/log-writer.ts';
import type { LogAdapter, LogStore } from './adapter.ts';
import { follow, openHandle, seeded, show } from './harness.ts';

const processes = 4;
const rounds = 12;
const rivalsPerContest = 4;

/** Commits of which at most one may be written, and the one must be. */
interface Contest {
  readonly over: 'claim' | 'stream' | 'commit';
  readonly rivals: readonly Commit[];
}

/** Contests of one round, over each kind of thing. */
function contestsOf(round: number): Contest[] {
  const contests: Contest[] = [];
  for (let number = 0; number < 5; number++) {
    const id = `${round}-${number}`;
    const events = [profile(`${id}/0`), profile(`${id}/1`)];
    const rivals = Array.from({ length: rivalsPerContest }, (_, rival) => rival);
    // Two names in opposite orders: whoever takes them one by one meets a rival that holds the other.
    const claims = [{ name: `a-${id}` }, { name: `b-${id}`, made: id }];
    const orders = [claims, claims.toReversed()];
    contests.push({
      over: 'claim',
      rivals: rivals.map((rival) =>
        commitTo(`claimant-${id}-${rival}`, { events, claims: orders[rival % 2] ?? claims }),
      ),
    });
    contests.push({ over: 'stream', rivals: rivals.map(() => commitTo(`stream-${id}`, { events })) });
    contests.push({ over: 'commit', rivals: [commitTo(`commit-${id}`, { events, claims: [{ name: `c-${id}` }] })] });
  }
  return contests;
}

/** A few processes; one that was killed is replaced. */
class Pool {
  readonly #t: Test;
  readonly #store: LogStore;
  #writers: Promise<Writer>[];
  #turn = 0;
  /** Appends that met the death of their process. */
  lost = 0;

  constructor(t: Test, store: LogStore) {
    this.#t = t;
    this.#store = store;
    this.#writers = Array.from({ length: processes }, () => startWriter(t, store.target));
  }

  async ready(): Promise<void> {
    await Promise.all(this.#writers);
  }

  /** Kills one process, whatever it is doing, and starts another in its place. */
  async kill(number: number): Promise<void> {
    const writer = await this.#writers[number];
    await writer?.kill();
    this.#writers[number] = startWriter(this.#t, this.#store.target);
  }

  /** Asks one process after the other, always with the same commit, until one has an answer. */
  async settle(commit: Commit): Promise<Settled> {
    for (;;) {
      const writer = await this.#writers[this.#turn++ % processes];
      try {
        const outcome = writer && (await appendOne(writer, commit));
        if (outcome && outcome.outcome !== 'unknown') return outcome;
      } catch (error) {
        if (!(error instanceof WriterGoneError)) throw error;
        this.lost++;
      }
    }
  }
}

export async function raceTests(t: Test, adapter: LogAdapter): Promise<void> {
  await t.test('competing processes, killed and replaced: one owner, one effect, the first answer again', async (t) => {
    const random = seeded(t);
    const store = await adapter.fresh(t);
    const log = await openHandle(t, store);
    const follower = follow(t, log);
    const pool = new Pool(t, store);
    await pool.ready();
    const contests: Contest[] = [];
    const answers = new Map<Commit, Outcome[]>();
    for (let round = 0; round < rounds; round++) {
      const ofRound = contestsOf(round);
      contests.push(...ofRound);
      // Every commit is asked for twice, in no particular order, by whatever process is next.
      const askings = ofRound
        .flatMap(({ rivals }) => [...rivals, ...rivals])
        .map((commit) => ({ commit, at: random() }));
      askings.sort((a, b) => a.at - b.at);
      const settled = askings.map(async ({ commit }) => {
        const outcome = await pool.settle(commit);
        answers.set(commit, [...(answers.get(commit) ?? []), outcome]);
      });
      const kill = (async () => {
        await sleep(random() * 30);
        await pool.kill(Math.floor(random() * processes));
      })();
      await Promise.all([...settled, kill]);
    }
    // The process that took the last victim's place may still be starting.
    await pool.ready();
    t.comment(`${contests.length} contests, ${pool.lost} askings lost with their process`);
    t.ok(pool.lost > 0, 'processes died in the middle of appends');
    await follower.reached(await log.head());
    t.same(follower.faults, []);
    const written = Map.groupBy(follower.events, (event) => event.commitId);
    const faults: string[] = [];
    for (const contest of contests) {
      for (const fault of await judge(log, contest, answers, written)) faults.push(`over ${contest.over}: ${fault}`);
    }
    t.same(faults.slice(0, 10), []);
    t.equal(written.size, contests.length, 'one commit of each contest is in the log, and no other');
  });
}

/** Holds a contest's answers, those given meanwhile and those given now, against the log. */
async function judge(
  log: Parameters<typeof appendOne>[0],
  contest: Contest,
  answers: ReadonlyMap<Commit, readonly Outcome[]>,
  written: ReadonlyMap<string, readonly { readonly position: bigint; readonly revision: number }[]>,
): Promise<string[]> {
  const faults: string[] = [];
  const winners = contest.rivals.filter((commit) => written.has(commit.commitId));
  const [winner] = winners;
  if (!winner || winners.length > 1) return [`${winners.length} of ${contest.rivals.length} rivals are in the log`];
  const events = written.get(winner.commitId) ?? [];
  if (events.length !== winner.events.length) faults.push(`${events.length} of ${winner.events.length} events`);
  const last = events.at(-1);
  for (const commit of contest.rivals) {
    const given = answers.get(commit) ?? [];
    if (given.filter(({ outcome }) => outcome === 'written').length > 1) faults.push('written was answered twice');
    for (const outcome of [...given, await appendOne(log, commit)]) {
      const right =
        outcome.outcome === 'written' || outcome.outcome === 'replayed'
          ? commit === winner && outcome.position === last?.position && outcome.revision === last.revision
          : commit !== winner &&
            (outcome.outcome === 'taken'
              ? contest.over === 'claim' && outcome.by.stream === winner.stream
              : outcome.outcome === 'conflict' && contest.over === 'stream' && outcome.revision === last?.revision);
      if (!right) faults.push(`${commit === winner ? 'the winner' : 'a loser'} was answered ${show(outcome)}`);
    }
  }
  return faults;
}
