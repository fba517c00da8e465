/**
 * Claims on a server whose transactions end at one stream (design section 4). Each claim is appended to the claim stream of
 * its name, at the revision at which the name was found free; then the main events are appended at `expected`, and that
 * one append decides. A claim counts if and only if the event at `expected` + 1 of its main stream carries its commit,
 * and neither that nor a later event of that stream releases the name. Once another event stands there, the claim is void
 * for ever. So only the last claim of a name can count.
 *
 * Who meets an undecided claim waits for its main stream up to `undecidedMs`, then puts a fence into its place: when that
 * lands the claim is void; when the commit landed first, it counts. A tombstoned main stream decides by itself: a claim of
 * an idempotency key counts until its time has passed, any other is void.
 */
import type { ResolvedEvent } from '@eventstore/db-client';
import { sleep } from '../platform/clock.ts';
import type { AppendAnswer, Appender } from './eventstoredb-appender.ts';
import {
  FENCE,
  type Names,
  proposeClaim,
  proposeFence,
  type StoredClaim,
  type StoredMetadata,
} from './eventstoredb-records.ts';
import { revisionOf, type Streams } from './eventstoredb-streams.ts';
import { type Claim, type Commit, type Holder, LogUnavailableError, NO_STREAM, type Outcome } from './log.ts';

/** How long an undecided claim is waited for. */
export const undecidedMs = 1_000;
/** Pauses between two looks at an undecided claim, milliseconds. */
const lookAgainMs = { first: 10, most: 100 };

/** What stands under a name. */
type Found =
  /** Nobody holds it: a claim goes in at this revision of the claim stream. */
  | { readonly is: 'free'; readonly at: number }
  | { readonly is: 'held'; readonly claim: StoredClaim }
  | { readonly is: 'unknown'; readonly answer: AppendAnswer };

/** What stands under a name, for one commit. */
type Standing =
  /** Free: a claim goes in at this revision of the claim stream. */
  | { readonly is: 'free'; readonly at: number }
  /** This commit's claim is there, or its stream holds the name. */
  | { readonly is: 'ours' }
  | { readonly is: 'refused'; readonly outcome: Outcome };

type Verdict = 'counts' | 'void' | 'undecided';

/** The part of the log that knows claims. */
export class Claims {
  readonly #names: Names;
  readonly #streams: Streams;
  readonly #appender: Appender;
  /** Fences appended. */
  fences = 0;

  constructor(names: Names, streams: Streams, appender: Appender) {
    this.#names = names;
    this.#streams = streams;
    this.#appender = appender;
  }

  /**
   * Claims the names of a commit. Null when its main events may be appended; else how it ended. Rejects with
   * LogUnavailableError.
   */
  async take(commit: Commit): Promise<Outcome | null> {
    const claims = (commit.claims ?? []).toSorted((a, b) => (a.name < b.name ? -1 : 1));
    if (claims.length === 0) return null;
    const place = await this.#placeOf(commit);
    if (place !== 'free') return place === 'ours' ? null : place;
    // All names are looked at before the first is claimed: a refused commit seldom leaves claims behind.
    const standings: Standing[] = [];
    for (const { name } of claims) {
      const standing = await this.#standing(commit, name);
      if (standing.is === 'refused') return standing.outcome;
      standings.push(standing);
    }
    for (const [number, claim] of claims.entries()) {
      const refusal = await this.#claim(commit, claim, standings[number] as Standing);
      if (refusal) return refusal;
    }
    return null;
  }

  /** How a commit ends whose main events were refused: a fence in its place says nothing about who holds its names. */
  async refused(commit: Commit, actual: number): Promise<Outcome> {
    const conflict: Outcome = { outcome: 'conflict', revision: actual };
    if (!commit.claims?.length) return conflict;
    const { events } = await this.#streams.from(this.#names.stream(commit.stream), commit.expected + 1, 1);
    if (events[0]?.event?.type !== FENCE) return conflict;
    for (const { name } of commit.claims) {
      const standing = await this.#standing(commit, name);
      if (standing.is === 'refused' && standing.outcome.outcome === 'taken') return standing.outcome;
    }
    return conflict;
  }

  /**
   * Whether the place of the commit's main events is free. A claim is appended only when its main stream has reached
   * `expected`: else nothing could ever decide it.
   */
  async #placeOf(commit: Commit): Promise<'free' | 'ours' | Outcome> {
    const stream = this.#names.stream(commit.stream);
    const { events, closed } = await this.#streams.from(stream, Math.max(commit.expected, 0), 2);
    if (closed) return { outcome: 'conflict', revision: NO_STREAM };
    const next = events.find(({ event }) => Number(event?.revision) === commit.expected + 1);
    if (next) {
      if (commitOf(next) === commit.commitId) return 'ours';
      return this.refused(commit, revisionOf(await this.#streams.last(stream)));
    }
    if (commit.expected === NO_STREAM || events.length > 0) return 'free';
    return { outcome: 'conflict', revision: revisionOf(await this.#streams.last(stream)) };
  }

  /** Appends one claim. Null when the name is this commit's. */
  async #claim(commit: Commit, claim: Claim, standing: Standing): Promise<Outcome | null> {
    const { commitId, stream, expected } = commit;
    const { made, atLeastUntil } = claim;
    const stored: StoredClaim = {
      commitId,
      stream,
      expected,
      ...(made !== undefined && { made }),
      ...(atLeastUntil !== undefined && { atLeastUntil }),
    };
    const event = proposeClaim(claim.name, stored);
    for (let current = standing; ; current = await this.#standing(commit, claim.name)) {
      if (current.is === 'ours') return null;
      if (current.is === 'refused') return current.outcome;
      const answer = await this.#appender.append(this.#names.claim(claim.name), [event], current.at);
      if (answer.is === 'stored') return null;
      // Another claim came first: what is it worth?
      if (answer.is !== 'conflict') return unknown(answer);
    }
  }

  /** Who holds a name. Rejects with LogUnavailableError. */
  async holder(name: string, atMs: number): Promise<Holder | null> {
    const found = await this.#find(name, atMs, () => false);
    if (found.is === 'unknown') throw new LogUnavailableError(new Error(found.answer.is));
    return found.is === 'held' ? holderOf(found.claim) : null;
  }

  async #standing(commit: Commit, name: string): Promise<Standing> {
    const { commitId, expected, stream, at } = commit;
    const found = await this.#find(name, at, (claim) => claim.commitId === commitId && claim.expected === expected);
    if (found.is === 'free') return found;
    if (found.is === 'unknown') return { is: 'refused', outcome: unknown(found.answer) };
    if (found.claim.stream === stream) return { is: 'ours' };
    return { is: 'refused', outcome: { outcome: 'taken', name, by: holderOf(found.claim) } };
  }

  /**
   * What stands under a name. An undecided claim is waited for, and then decided.
   *
   * @param isOwn tells a claim that need not be judged
   */
  async #find(name: string, atMs: number, isOwn: (claim: StoredClaim) => boolean): Promise<Found> {
    const since = performance.now();
    for (let pauseMs = lookAgainMs.first; ; pauseMs = Math.min(pauseMs * 2, lookAgainMs.most)) {
      const look = await this.#streams.last(this.#names.claim(name));
      const last = look.events[0]?.event;
      if (!last) return { is: 'free', at: NO_STREAM };
      const at = Number(last.revision);
      const claim = last.data as unknown as StoredClaim;
      if (isOwn(claim)) return { is: 'held', claim };
      const verdict = await this.#judge(claim, name, atMs);
      if (verdict === 'void') return { is: 'free', at };
      if (verdict === 'counts') return { is: 'held', claim };
      if (performance.now() - since < undecidedMs) {
        await sleep(pauseMs);
        continue;
      }
      const fence = await this.#appender.append(
        this.#names.stream(claim.stream),
        [proposeFence(claim)],
        claim.expected,
      );
      this.fences++;
      if (fence.is === 'stored') return { is: 'free', at };
      // Something else stands there by now, or the stream was closed: look again.
      if (fence.is !== 'conflict' && fence.is !== 'deleted') return { is: 'unknown', answer: fence };
    }
  }

  async #judge(claim: StoredClaim, name: string, atMs: number): Promise<Verdict> {
    const { events, closed } = await this.#streams.from(this.#names.stream(claim.stream), claim.expected + 1);
    if (closed) return claim.atLeastUntil !== undefined && claim.atLeastUntil > atMs ? 'counts' : 'void';
    const [first] = events;
    if (!first) return 'undecided';
    if (commitOf(first) !== claim.commitId) return 'void';
    return events.some((event) => metadataOf(event)?.releases?.includes(name)) ? 'void' : 'counts';
  }
}

function holderOf({ stream, made }: StoredClaim): Holder {
  return { stream, made: made ?? null };
}

function metadataOf({ event }: ResolvedEvent): Partial<StoredMetadata> | undefined {
  return event?.metadata as Partial<StoredMetadata> | undefined;
}

/** The commit that an event carries; a fence carries none. */
function commitOf(resolved: ResolvedEvent): string | undefined {
  return metadataOf(resolved)?.commitId;
}

function unknown(answer: AppendAnswer): Outcome {
  return { outcome: 'unknown', reason: answer.is === 'unknown' ? answer.reason : answer.is };
}
