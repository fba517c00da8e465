/**
 * What can be made to go wrong in the stand-in, and the counting of when. Switched at runtime by tests through
 * `StandIn.faults(...)`. A write is an append, a soft deletion or a tombstone.
 */

/** Errors by the names of what the real server means; `wire.ts` has what goes over the wire for each. */
export type ErrorName =
  | 'not-leader'
  | 'busy'
  | 'not-ready'
  | 'write-timeout'
  | 'prepare-timeout'
  | 'commit-timeout'
  | 'unavailable'
  | 'cancelled'
  | 'deadline'
  | 'access-denied'
  | 'unknown';

/** Which calls a fault meets: the next `count` (1 unless told) after `skip`, of those whose stream matches. */
export interface Counted {
  readonly count?: number | 'all';
  readonly skip?: number;
  /** Regular expression over the stream's name (`$all` for reads of all); without it every stream. */
  readonly stream?: string;
}

export interface Failing extends Counted {
  readonly error: ErrorName;
  /** `not-leader`: the endpoint that the answer names. Without it the stand-in's own address. */
  readonly leader?: { readonly host: string; readonly port: number };
}

/** The switches. An absent one stays as it is; null sets one back. */
export interface Faults {
  /** Answered with an error; `stored`: after the write was stored. */
  readonly failAppends: (Failing & { readonly stored?: boolean }) | null;
  /** Stored and never answered. */
  readonly dropAnswers: Counted | null;
  /** Neither stored nor answered. */
  readonly refuse: Counted | null;
  /** The connection is cut instead of an answer; `stored`: after the write was stored. */
  readonly cutAppends: (Counted & { readonly stored?: boolean }) | null;
  /** The process ends as by kill -9 at the n-th write from now (1 is the next): before or after it is stored. */
  readonly killAtAppend: { readonly n: number; readonly when: 'before' | 'after'; readonly stream?: string } | null;
  /** Each answer to a write comes so much later. */
  readonly delayMs: number;
  /** Reads and subscriptions end without an error, after so many events (0 unless told). */
  readonly endReads: (Counted & { readonly afterEvents?: number }) | null;
  /** Reads and subscriptions fail. */
  readonly failReads: Failing | null;
  /** Whether the answer to an idempotent replay has the position; `sometimes`: every other one, the first has not. */
  readonly replayAnswer: 'sometimes' | 'position' | 'none';
  /**
   * A subscription to `$all` from a position whose event was scavenged: the real server (23.10) takes the next event that
   * still stands as seen (`skips-one`); later ones do not (`exact`).
   */
  readonly resumeAtRemoved: 'skips-one' | 'exact';
  /** A system event into `$all` after so many events; 0: none. */
  readonly systemEveryRecords: number;
  /** How `POST /admin/scavenge` ends: `in-progress` is 400 with a line of text, `unauthorized` is 401; neither scavenges. */
  readonly scavenge: 'done' | 'in-progress' | 'unauthorized';
  /** False: the server says that it knows no BatchAppend, so that the client takes Append. Before the client connects. */
  readonly batchAppend: boolean;
}

/** Done once, at once. */
export interface OneShots {
  /** Every connection of clients is destroyed. */
  readonly cutConnections?: true;
  /** Every open subscription ends without an error. */
  readonly endSubscriptions?: true;
  /** Every live subscription is told that it fell behind, then that it caught up again. */
  readonly fallBehind?: true;
  /** All switches as they were at first; applied before the others of the same call. */
  readonly reset?: true;
}

/** How one write is to end. */
export interface WriteFate {
  readonly store: boolean;
  readonly answer: 'normal' | 'never' | 'cut' | Failing;
  readonly exit: 'before' | 'after' | null;
  readonly delayMs: number;
}

/** How one read is to end. */
export interface ReadFate {
  readonly error: Failing | null;
  readonly endAfterEvents: number;
}

const defaults: Faults = {
  failAppends: null,
  dropAnswers: null,
  refuse: null,
  cutAppends: null,
  killAtAppend: null,
  delayMs: 0,
  endReads: null,
  failReads: null,
  replayAnswer: 'sometimes',
  resumeAtRemoved: 'skips-one',
  systemEveryRecords: 20,
  scavenge: 'done',
  batchAppend: true,
};

/** Holds the switches and counts. */
export class FaultBox {
  #faults: Faults = defaults;
  #left = new Map<keyof Faults, { skip: number; count: number }>();
  #replays = 0;

  get current(): Faults {
    return this.#faults;
  }

  set(patch: Partial<Faults> & OneShots): void {
    if (patch.reset) {
      this.#faults = defaults;
      this.#left.clear();
      this.#replays = 0;
    }
    this.#faults = { ...this.#faults, ...patch };
    for (const name of Object.keys(patch) as (keyof Faults)[]) this.#left.delete(name);
  }

  forWrite(stream: string): WriteFate {
    const { failAppends, dropAnswers, refuse, cutAppends, killAtAppend, delayMs } = this.#faults;
    const kill = killAtAppend && { ...killAtAppend, skip: killAtAppend.n - 1 };
    const exit = kill && this.#meets('killAtAppend', kill, stream) ? kill.when : null;
    const fate = (store: boolean, answer: WriteFate['answer']): WriteFate => ({ store, answer, exit, delayMs });
    if (failAppends && this.#meets('failAppends', failAppends, stream)) {
      return fate(failAppends.stored ?? false, failAppends);
    }
    if (refuse && this.#meets('refuse', refuse, stream)) return fate(false, 'never');
    if (dropAnswers && this.#meets('dropAnswers', dropAnswers, stream)) return fate(true, 'never');
    if (cutAppends && this.#meets('cutAppends', cutAppends, stream)) return fate(cutAppends.stored ?? false, 'cut');
    return fate(true, 'normal');
  }

  forRead(stream: string): ReadFate {
    const { endReads, failReads } = this.#faults;
    const error = failReads && this.#meets('failReads', failReads, stream) ? failReads : null;
    const ends = endReads && this.#meets('endReads', endReads, stream);
    return { error, endAfterEvents: ends ? (endReads.afterEvents ?? 0) : Number.POSITIVE_INFINITY };
  }

  /** Whether the answer to this replay keeps its position. */
  keepsReplayPosition(): boolean {
    this.#replays += 1;
    const { replayAnswer } = this.#faults;
    return replayAnswer === 'sometimes' ? this.#replays % 2 === 0 : replayAnswer === 'position';
  }

  #meets(name: keyof Faults, { count = 1, skip = 0, stream }: Counted, of: string): boolean {
    if (stream !== undefined && !new RegExp(stream).test(of)) return false;
    const left = this.#left.get(name) ?? { skip, count: count === 'all' ? Number.POSITIVE_INFINITY : count };
    this.#left.set(name, left);
    if (left.skip > 0) {
      left.skip -= 1;
      return false;
    }
    if (left.count === 0) return false;
    left.count -= 1;
    return true;
  }
}
