/** One flush as the SQL function takes it, and its answer. */
import { bigintArray, intArray, textArray } from '../platform/pg-arrays.ts';
import { type Commit, NO_STREAM, type Outcome } from './log.ts';
import type { Waiting } from './waiting.ts';

/** What became of one commit that was not written. `ord` counts from 1. */
export interface Verdict {
  readonly ord: number;
  readonly is: 'conflict' | 'replayed' | 'taken';
  readonly position?: string;
  readonly revision?: number;
  readonly name?: string;
  readonly stream?: string;
  readonly made?: string | null;
}

/** The parameters are binary arrays: see platform/pg-arrays.ts. */
export const appendQuery = {
  name: 'log-append',
  text: `SELECT base, erased, verdicts FROM log.append($1::text[], $2::int[], $3::int[], $4::text[], $5::bigint[], $6::text[],
    $7::int[], $8::int[], $9::text[], $10::int[], $11::text[],
    $12::int[], $13::text[], $14::text[], $15::bigint[], $16::int[], $17::text[])`,
  rowMode: 'array' as const,
};

/** The parameters of `appendQuery`. */
export function flushParameters(batch: readonly Waiting[]): Buffer[] {
  const streams: string[] = [];
  const expected: number[] = [];
  const counts: number[] = [];
  const commitIds: string[] = [];
  const ats: number[] = [];
  const metas: (string | null)[] = [];
  const events = {
    commit: [] as number[],
    index: [] as number[],
    type: [] as string[],
    version: [] as number[],
    data: [] as string[],
  };
  const claims = {
    commit: [] as number[],
    name: [] as string[],
    made: [] as (string | null)[],
    until: [] as (number | null)[],
  };
  const releases = { commit: [] as number[], name: [] as string[] };
  for (let i = 0; i < batch.length; i++) {
    const { commit, data, versions, meta } = batch[i] as Waiting;
    const ord = i + 1;
    streams.push(commit.stream);
    expected.push(commit.expected);
    counts.push(commit.events.length);
    commitIds.push(commit.commitId);
    ats.push(commit.at);
    metas.push(meta);
    for (let index = 0; index < data.length; index++) {
      events.commit.push(ord);
      events.index.push(index);
      events.type.push((commit.events[index] as Commit['events'][number]).type);
      events.version.push(versions[index] as number);
      events.data.push(data[index] as string);
    }
    for (const claim of commit.claims ?? []) {
      claims.commit.push(ord);
      claims.name.push(claim.name);
      claims.made.push(claim.made ?? null);
      claims.until.push(claim.atLeastUntil ?? null);
    }
    for (const name of commit.releases ?? []) {
      releases.commit.push(ord);
      releases.name.push(name);
    }
  }
  return [
    textArray(streams),
    intArray(expected),
    intArray(counts),
    textArray(commitIds),
    bigintArray(ats),
    textArray(metas),
    intArray(events.commit),
    intArray(events.index),
    textArray(events.type),
    intArray(events.version),
    textArray(events.data),
    intArray(claims.commit),
    textArray(claims.name),
    textArray(claims.made),
    bigintArray(claims.until),
    intArray(releases.commit),
    textArray(releases.name),
  ];
}

/** `log.append_new`: see `isAllNew`. */
export const appendNewQuery = {
  name: 'log-append-new',
  text: `SELECT base, erased FROM log.append_new($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::int[],
    $7::text[])`,
  rowMode: 'array' as const,
};

/** True when every commit is one event of a stream that must not exist, without claims: accepted sends are. */
export function isAllNew(batch: readonly Waiting[]): boolean {
  return batch.every(
    ({ commit: { expected, events, claims, releases } }) =>
      expected === NO_STREAM && events.length === 1 && claims === undefined && releases === undefined,
  );
}

/** The parameters of `appendNewQuery`. */
export function newParameters(batch: readonly Waiting[]): Buffer[] {
  return [
    textArray(batch.map(({ commit }) => commit.stream)),
    textArray(batch.map(({ commit }) => commit.commitId)),
    bigintArray(batch.map(({ commit }) => commit.at)),
    textArray(batch.map(({ meta }) => meta)),
    textArray(batch.map(({ commit }) => (commit.events[0] as Commit['events'][number]).type)),
    intArray(batch.map(({ versions }) => versions[0] as number)),
    textArray(batch.map(({ data }) => data[0] as string)),
  ];
}

/** The outcome that a verdict stands for. */
export function refusal(verdict: Verdict): Outcome {
  const { is, revision = -1 } = verdict;
  if (is === 'replayed') return { outcome: 'replayed', position: BigInt(verdict.position ?? 0), revision };
  if (is === 'conflict') return { outcome: 'conflict', revision };
  return {
    outcome: 'taken',
    name: verdict.name ?? '',
    by: { stream: verdict.stream ?? '', made: verdict.made ?? null },
  };
}
