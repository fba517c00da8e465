/** One flush as the SQL function takes it, and its answer. */
import { bigintArray, intArray, textArray } from '../platform/pg-arrays.ts';
import { type Commit, NO_STREAM, type Outcome, type RecordedEvent } from './log.ts';
import { spellEvent } from './postgres-peer.ts';
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

/** `log.append_new`: see `isNew`. */
export const appendNewQuery = {
  name: 'log-append-new',
  text: `SELECT base, erased FROM log.append_new($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::int[],
    $7::text[])`,
  rowMode: 'array' as const,
};

/** Both ways in one transaction. */
export const appendMixedQuery = {
  name: 'log-append-mixed',
  text: `SELECT n.base, n.erased, g.base, g.verdicts
    FROM log.append_new($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::int[], $7::text[]) n,
      log.append($8::text[], $9::int[], $10::int[], $11::text[], $12::bigint[], $13::text[],
        $14::int[], $15::int[], $16::text[], $17::int[], $18::text[],
        $19::int[], $20::text[], $21::text[], $22::bigint[], $23::int[], $24::text[]) g`,
  rowMode: 'array' as const,
};

/** True for one event of a stream that must not exist, without claims: accepted sends are such. */
export function isNew({ commit: { expected, events, claims, releases } }: Waiting): boolean {
  return expected === NO_STREAM && events.length === 1 && claims === undefined && releases === undefined;
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

/** Commits of one flush whose events stand together in the log, and what became of them. */
export interface FlushPart {
  readonly batch: readonly Waiting[];
  /** The position before them. */
  readonly base: bigint;
  /** Streams erased before the flush. */
  readonly erasures: number;
  readonly verdicts: readonly Verdict[];
}

/** A part, from what the SQL functions answer. */
export function part(
  batch: readonly Waiting[],
  base: string,
  erasures: string,
  verdicts: readonly Verdict[] | null,
): FlushPart {
  return { batch, base: BigInt(base), erasures: Number(erasures), verdicts: verdicts ?? [] };
}

/**
 * Answers who waits for the commits of a part, and adds their events to `recorded`, and as a peer is told them to `spelled`.
 * The position of the last of them.
 */
export function settlePart(
  { batch, base, verdicts }: FlushPart,
  recorded: RecordedEvent[],
  spelled: string[] | null,
): bigint {
  const refused: ReadonlyMap<number, Verdict> = new Map(verdicts.map((verdict) => [verdict.ord, verdict]));
  let position = base;
  for (let i = 0; i < batch.length; i++) {
    const entry = batch[i] as Waiting;
    const { commit, settle } = entry;
    const verdict = refused.get(i + 1);
    if (verdict) {
      settle(refusal(verdict));
      continue;
    }
    const { stream, expected, commitId, at, meta = {} } = commit;
    for (let index = 0; index < commit.events.length; index++) {
      const { type, data } = commit.events[index] as Commit['events'][number];
      position += 1n;
      const revision = expected + 1 + index;
      recorded.push({ type, data, position, stream, revision, commitId, index, at, meta } as RecordedEvent);
      spelled?.push(spellEvent(entry, expected + 1, index));
    }
    settle({ outcome: 'written', position, revision: expected + commit.events.length });
  }
  return position;
}

/** The outcome that a verdict stands for. */
function refusal(verdict: Verdict): Outcome {
  const { is, revision = -1 } = verdict;
  if (is === 'replayed') return { outcome: 'replayed', position: BigInt(verdict.position ?? 0), revision };
  if (is === 'conflict') return { outcome: 'conflict', revision };
  return {
    outcome: 'taken',
    name: verdict.name ?? '',
    by: { stream: verdict.stream ?? '', made: verdict.made ?? null },
  };
}
