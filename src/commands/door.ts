import { randomUUID } from 'node:crypto';
import { checkEvent, type DomainEvent } from '../../schemas/index.ts';
import type { Aggregate } from '../domain/aggregate.ts';
import { DomainError } from '../domain/errors.ts';
import {
  type Claim,
  type Commit,
  type EventMeta,
  type Holder,
  type Log,
  NO_STREAM,
  type Outcome,
  TooLargeError,
} from '../log/log.ts';
import { type Clock, sleep } from '../platform/clock.ts';
import { asUnavailable, StateCache } from './state-cache.ts';
import { Turns } from './turns.ts';

/** Who acts, in which workspace, and in which trace. */
export interface Actor {
  readonly workspace: number;
  readonly account: number;
  /** W3C `traceparent` of the request's span. */
  readonly trace?: string;
  /** The dialect that was spoken, for metrics. */
  readonly dialect?: string;
}

/** What a command wrote. `events` are empty, and `position` null, when there was nothing to do. */
export interface Written<State> {
  readonly events: readonly DomainEvent[];
  readonly state: State;
  readonly revision: number;
  readonly position: bigint | null;
  readonly at: number;
}

/** How a command is carried out. */
export interface ExecuteOptions<State = never> {
  /** Names the commit takes; one that is held throws ClaimTakenError. */
  readonly claims?: readonly Claim[];
  readonly releases?: readonly string[];
  /** Further names to let go, as they follow from the state that the command met and the events it made. */
  readonly releasesOf?: (state: State, events: readonly DomainEvent[]) => readonly string[];
  /** The stream must not exist: it is not read, and one that does is `already-exists`. */
  readonly isNew?: boolean;
  /** Executions at most when others write to the stream at the same time; 10 unless told. */
  readonly maxConflicts?: number;
}

/** A claim of the command is held by another stream. */
export class ClaimTakenError extends Error {
  readonly claim: string;
  readonly by: { readonly stream: string; readonly made: string | null };
  constructor(claim: string, by: { stream: string; made: string | null }) {
    super('a claim is taken');
    this.name = 'ClaimTakenError';
    this.claim = claim;
    this.by = by;
  }
}

/** Executions of one command at most when others write to its stream at the same time. */
const maxConflicts = 10;
/** How long an append may stay unknown before the client is told so. */
export const unknownForMs = 8_000;

/** What the door needs. */
export interface DoorOptions {
  readonly log: Log;
  readonly clock: Clock;
  /** Told of accepted commands by name and by the actor's dialect, for metrics. */
  readonly onAccepted?: (command: string, count: number, dialect?: string) => void;
  /** Told of every acknowledged write: freshness (design promise 8). */
  readonly onAcknowledged?: (workspace: number, account: number, position: bigint) => void;
}

/**
 * The one door for writes: load, decide, append with the expected revision, again on conflict. Answers after the events
 * are durable. Throws DomainError: the rules' refusals, and `unavailable` when it is not known whether the events are stored.
 */
export class CommandDoor {
  readonly states: StateCache;
  readonly clock: Clock;
  readonly #log: Log;
  /** Counts commands that did not go through `execute`. */
  readonly accepted: NonNullable<DoorOptions['onAccepted']>;
  readonly #onAcknowledged: NonNullable<DoorOptions['onAcknowledged']>;
  readonly #turns: Turns;
  #draining = false;

  constructor({ log, clock, onAcknowledged = () => {}, onAccepted = () => {} }: DoorOptions) {
    this.#log = log;
    this.clock = clock;
    this.states = new StateCache(log, clock);
    this.#turns = new Turns(() => clock.monotonicMs(), unknownForMs);
    this.#onAcknowledged = onAcknowledged;
    this.accepted = onAccepted;
  }

  async start(): Promise<void> {
    await this.states.start();
  }

  /** From here on commands are refused with `unavailable`. */
  drain(): void {
    this.#draining = true;
  }

  async stop(): Promise<void> {
    this.#draining = true;
    await this.states.stop();
  }

  /** Current state of a stream. */
  async load<State, Command>(aggregate: Aggregate<State, Command>, stream: string): Promise<State> {
    return (await this.states.load(aggregate, stream)).state;
  }

  /**
   * Carries out one command on one stream. Within the process they take turns there, so that a hundred who come at once are
   * no conflict.
   */
  execute<State, Command>(
    aggregate: Aggregate<State, Command>,
    stream: string,
    command: Command,
    actor: Actor,
    options: ExecuteOptions<State> = {},
  ): Promise<Written<State>> {
    const work = () => this.#execute(aggregate, stream, command, actor, options);
    return options.isNew ? work() : this.#turns.take(stream, work);
  }

  async #execute<State, Command>(
    aggregate: Aggregate<State, Command>,
    stream: string,
    command: Command,
    actor: Actor,
    options: ExecuteOptions<State>,
  ): Promise<Written<State>> {
    const commitId = randomUUID();
    const most = options.maxConflicts ?? maxConflicts;
    for (let conflicts = 0; conflicts < most; conflicts++) {
      const { state, revision } = options.isNew
        ? { state: aggregate.initial, revision: NO_STREAM }
        : await this.states.load(aggregate, stream);
      const events = aggregate.decide(state, command);
      events.forEach(checkEvent);
      const at = this.clock.now();
      if (events.length === 0) return { events, state, revision, position: null, at };
      const { claims } = options;
      const releases = releasesOf(options, state, events);
      const outcome = await this.append({
        commitId,
        stream,
        expected: revision,
        events,
        at,
        meta: metaOf(actor),
        ...(claims && { claims }),
        ...(releases.length > 0 && { releases }),
      });
      switch (outcome.outcome) {
        case 'written':
        case 'replayed': {
          const next = events.reduce((current, event) => aggregate.evolve(current, { ...event, at }), state);
          this.states.put(aggregate, stream, next, outcome.revision);
          this.#onAcknowledged(actor.workspace, actor.account, outcome.position);
          this.accepted((command as { command?: string }).command ?? '-', 1, actor.dialect);
          return { events, state: next, revision: outcome.revision, position: outcome.position, at };
        }
        case 'taken':
          throw new ClaimTakenError(outcome.name, outcome.by);
        case 'conflict':
          if (options.isNew) throw new DomainError('already-exists');
          this.states.forget(stream);
          break;
        case 'unknown':
          throw new DomainError('unavailable', undefined, { retryAt: at + 1_000 });
      }
    }
    throw new DomainError('unavailable', 'too many writers on one object', { retryAt: this.clock.now() + 1_000 });
  }

  /** Who holds a name now, and what was made under it; null for nobody. Throws DomainError `unavailable`. */
  async holder(name: string): Promise<Holder | null> {
    try {
      return await this.#log.holder(name, this.clock.now());
    } catch (error) {
      throw asUnavailable(error);
    }
  }

  /**
   * Appends one commit; `unknown` only after asking again for some seconds. Throws DomainError `too-large`, and
   * `unavailable` while draining. For commands that need no state; `execute` for the others.
   */
  async append(commit: Commit): Promise<Outcome> {
    return (await this.appendAll([commit]))[0] as Outcome;
  }

  /** Appends several commits at once, each for itself; the outcomes stand in their order. */
  async appendAll(commits: readonly Commit[]): Promise<Outcome[]> {
    this.#admit();
    try {
      const outcomes = await this.#log.append(commits);
      return outcomes.some(isUnknown) ? await this.#askAgain(commits, outcomes) : outcomes;
    } catch (error) {
      throw asRefusal(error);
    }
  }

  /** As `appendAll`, but asks once: for commits whose order counts. Some may stay `unknown`. */
  async appendOnce(commits: readonly Commit[]): Promise<Outcome[]> {
    this.#admit();
    try {
      return await this.#log.append(commits);
    } catch (error) {
      throw asRefusal(error);
    }
  }

  #admit(): void {
    if (this.#draining)
      throw new DomainError('unavailable', 'the server is shutting down', { retryAt: this.clock.now() + 1_000 });
  }

  async #askAgain(commits: readonly Commit[], outcomes: Outcome[]): Promise<Outcome[]> {
    const settled = [...outcomes];
    const until = this.clock.monotonicMs() + unknownForMs;
    for (let delayMs = 100; this.clock.monotonicMs() + delayMs < until; delayMs = Math.min(delayMs * 2, 1_000)) {
      await sleep(delayMs);
      const open = settled.flatMap((outcome, i) => (outcome.outcome === 'unknown' ? [i] : []));
      const again = await this.#log.append(open.map((i) => commits[i] as Commit));
      open.forEach((i, n) => {
        settled[i] = again[n] as Outcome;
      });
      if (again.every((outcome) => outcome.outcome !== 'unknown')) break;
    }
    return settled;
  }

  /** Notes a write that did not go through `execute`. */
  acknowledged(actor: Actor, position: bigint): void {
    this.#onAcknowledged(actor.workspace, actor.account, position);
  }
}

/** The names to let go; one that the commit takes is kept. */
function releasesOf<State>(options: ExecuteOptions<State>, state: State, events: readonly DomainEvent[]): string[] {
  const { claims = [], releases = [] } = options;
  const all = [...releases, ...(options.releasesOf?.(state, events) ?? [])];
  return all.filter((name) => !claims.some((claim) => claim.name === name));
}

function asRefusal(error: unknown): unknown {
  return error instanceof TooLargeError ? new DomainError('too-large', error.message) : error;
}

function isUnknown({ outcome }: Outcome): boolean {
  return outcome === 'unknown';
}

/** The metadata of an actor's events. */
export function metaOf(actor: Actor): EventMeta {
  const { workspace, account, trace } = actor;
  return trace === undefined ? { actor: [workspace, account] } : { actor: [workspace, account], trace };
}
