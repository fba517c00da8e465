/** What the parts of the suite share: opening handles, reading everything, and holding what was read against what was answered. */
import type { Test } from 'tap';
import { codec as currentCodec, type EventCodec } from '../../../schemas/index.ts';
import { type Log, NO_STREAM, type Outcome, type RecordedEvent } from '../../../src/log/log.ts';
import { type Ack, appendOne, commitTo, Follower } from '../../support/log-load.ts';
import type { LogStore } from './adapter.ts';

/** Opens a handle and closes it when `t` ends. */
export async function openHandle(t: Test, store: LogStore, codec: EventCodec = currentCodec): Promise<Log> {
  const log = await store.open(codec);
  t.teardown(() => log.close());
  return log;
}

/** Follows a tail until `t` ends; what it said wrong fails `t`. */
export function follow(t: Test, log: Log, from = 0n): Follower {
  const follower = new Follower(log, from);
  t.teardown(() => follower.stop());
  return follower;
}

/** The position and revision of a commit that had to be written. */
export function mustBeWritten(outcome: Outcome): { position: bigint; revision: number } {
  if (outcome.outcome !== 'written') throw new Error(`expected written, got ${show(outcome)}`);
  return outcome;
}

/** The same, of a commit that may have been asked for before. */
export function mustBeThere(outcome: Outcome): { position: bigint; revision: number } {
  if (outcome.outcome === 'replayed') return outcome;
  return mustBeWritten(outcome);
}

/** An outcome as text, for messages. */
export function show(outcome: Outcome): string {
  return JSON.stringify(outcome, (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value));
}

/** Writes one new stream. */
export async function writeStream(log: Log, stream: string): Promise<{ position: bigint; revision: number }> {
  return mustBeWritten(await appendOne(log, commitTo(stream)));
}

/** Everything a tail from `from` says up to now. */
export async function tailToHead(t: Test, log: Log, from = 0n): Promise<RecordedEvent[]> {
  const head = await log.head();
  const follower = new Follower(log, from);
  await follower.reached(head);
  await follower.stop();
  t.same(follower.faults, [], 'the tail keeps its order');
  return follower.events;
}

/** What an event says, for comparing: without what only some readers of it need. */
export function spell({ position, stream, revision, commitId, index, type, data }: RecordedEvent): string {
  return JSON.stringify([`${position}`, stream, revision, commitId, index, type, data]);
}

/**
 * Holds what a reader saw of whole streams against what writers were answered: every acknowledged commit is there once, whole,
 * in one piece and where the answer said; nothing else is there; revisions of each stream count up from 0.
 */
export function checkHistory(t: Test, events: readonly RecordedEvent[], acks: readonly Ack[]): void {
  const faults: string[] = [];
  const byCommit = Map.groupBy(events, (event) => event.commitId);
  for (const ack of acks) {
    const written = byCommit.get(ack.commitId) ?? [];
    const last = written.at(-1);
    if (written.length !== ack.events) faults.push(`${ack.commitId}: ${written.length} of ${ack.events} events`);
    else if (last?.position !== ack.position || last.revision !== ack.revision || last.stream !== ack.stream) {
      faults.push(
        `${ack.commitId}: answered ${ack.position}/${ack.revision}, stands at ${last?.position}/${last?.revision}`,
      );
    }
    if (written.some((event, index) => event.index !== index)) faults.push(`${ack.commitId}: out of order`);
    byCommit.delete(ack.commitId);
  }
  for (const commitId of byCommit.keys()) faults.push(`${commitId}: nobody was told of it`);
  for (const [stream, ofStream] of Map.groupBy(events, (event) => event.stream)) {
    let revision = NO_STREAM;
    for (const event of ofStream) {
      if (event.revision !== ++revision) faults.push(`${stream}: revision ${event.revision} where ${revision} belongs`);
    }
  }
  if (new Set(acks.map((ack) => ack.commitId)).size !== acks.length)
    faults.push('one commit was answered twice as new');
  t.same(faults.slice(0, 10), [], 'what was answered is what is there');
}

/** Random numbers in [0, 1) that a seed repeats (mulberry32). The seed is told, and taken from PARLEY_TEST_SEED. */
export function seeded(t: Test): () => number {
  let state = Number(process.env.PARLEY_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.comment(`PARLEY_TEST_SEED=${state}`);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
