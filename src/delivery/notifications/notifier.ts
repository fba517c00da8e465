import { notificationsDue } from '../../../projections/notifications/queries.ts';
import {
  DomainError,
  defaultNotificationSchedule,
  dueAt,
  type NotificationSchedule,
  type NotificationState,
  type Round,
} from '../../commands/index.ts';
import type { FeedBatch } from '../../feed/feed.ts';
import { BoundedMap } from '../../platform/bounded-map.ts';
import { sleep } from '../../platform/clock.ts';
import { rowsCaughtUp, unavailableMs, untilHead } from '../catch-up.ts';
import { Held } from '../held.ts';
import { LeaseKeeper } from '../lease-keeper.ts';
import { Leases } from '../leases.ts';
import { Reached } from '../reached.ts';
import { Troubles } from '../trouble.ts';
import type { NotificationOutcome, Notifications, NotificationsOptions } from './index.ts';
import { Rounds } from './rounds.ts';

const tickMs = 250;
const soonestMs = 10;
/** Notifications of one workspace and urgency in a page at most. */
const maxPage = 500;
/** Pages of one look at most. */
const maxPages = 8;
const backoffMs = { first: 50, most: 2_000 } as const;
/** For what follows on a round at a stop: its recording, and the rows that show it. */
const stopGraceMs = 3_000;
/** Notifications that wait for a provider's pace: those that are forgotten are only looked at sooner. */
const maxPostponed = 10_000;

interface Due {
  readonly notification: string;
  readonly workspace: number;
}

/** Takes up what is due until it is stopped. The contract is in `index.ts`. */
export class Notifier implements Notifications {
  readonly ready: Promise<void>;
  readonly done: Promise<void>;
  readonly #options: NotificationsOptions;
  readonly #schedule: NotificationSchedule;
  readonly #most: number;
  readonly #mostPerWorkspace: number;
  readonly #rounds: Rounds;
  readonly #leases: Leases;
  readonly #reached: Reached;
  readonly #held: Held;
  readonly #keeper: LeaseKeeper;
  readonly #troubles: Troubles;
  readonly #stopping = new AbortController();
  readonly #ended = new AbortController();
  /** For `Held`: nothing is filled beside looking. */
  readonly #holder = { held: 0, filling: null };
  /** Held ones of which no round is over yet, by workspace. */
  readonly #underWay = new Map<number, number>();
  readonly #running = new Set<Promise<void>>();
  /** When those that wait for a provider's pace may be looked at again, monotonic. */
  readonly #postponed = new BoundedMap<string, number>(maxPostponed);
  #inFlight = 0;
  #looking: Promise<void> | null = null;
  #lookAgain = false;
  /** The highest position of what woke. */
  #wokenTo = 0n;
  #timer: NodeJS.Timeout | undefined;
  #tick: NodeJS.Timeout | undefined;
  #stopped: Promise<void> | null = null;

  constructor(options: NotificationsOptions) {
    const { work: pool, projectorGroup, leaseMs = 30_000, concurrency = 32, clock } = options;
    this.#options = options;
    this.#schedule = options.schedule ?? defaultNotificationSchedule;
    this.#most = concurrency;
    this.#mostPerWorkspace = options.concurrencyPerWorkspace ?? Math.max(1, Math.floor(concurrency / 4));
    this.#rounds = new Rounds(options);
    const trouble = (error: unknown) => this.#trouble(error);
    this.#troubles = new Troubles(options.logger, 'notifications met trouble and go on', () => clock.monotonicMs());
    this.#leases = new Leases({ pool, lifeMs: leaseMs, projectorGroup });
    this.#reached = new Reached(options.projected);
    this.#held = new Held(this.#leases, this.#reached, this.#ended.signal, trouble);
    this.#keeper = new LeaseKeeper(this.#leases, this.#held, leaseMs, trouble);
    this.ready = this.#begin();
    this.ready.catch(() => {});
    this.done = this.#hear();
    this.done.catch(() => {});
  }

  depths(): { readonly inFlight: number; readonly settled: number } {
    return { inFlight: this.#inFlight, settled: this.#held.settled };
  }

  /** Rows may be behind what an earlier process recorded: nothing is taken up before they are not. */
  async #begin(): Promise<void> {
    const { signal } = this.#stopping;
    const { head } = this.#options;
    const onTrouble = (error: unknown) => this.#trouble(error);
    await rowsCaughtUp({ head, reached: this.#reached, signal, onTrouble });
    this.#tick = setInterval(() => this.#keeper.tick(this.#options.clock.monotonicMs()), tickMs).unref();
    this.#look();
  }

  /** Hears what comes due, so that it is looked for at once. A consumer group without a checkpoint: rows tell the rest. */
  #hear(): Promise<void> {
    const { feed, projected } = this.#options;
    return feed.consume(
      {
        group: 'notifier',
        hasCheckpoint: false,
        maxBatchEvents: 2_000,
        start: async () => {
          await this.ready;
          return projected.reached();
        },
        handle: async ({ events, to }: FeedBatch) => {
          for (const { type, position } of events) {
            if (type !== 'NotificationAccepted' && type !== 'NotificationRetried' && type !== 'NotificationChanged')
              continue;
            if (this.#wokenTo === 0n) void this.#wake();
            if (position > this.#wokenTo) this.#wokenTo = position;
          }
          return to;
        },
      },
      this.#stopping.signal,
    );
  }

  async #wake(): Promise<void> {
    // What else the batch tells of is waited for too.
    await Promise.resolve();
    const to = this.#wokenTo;
    this.#wokenTo = 0n;
    await this.#reached.until(to).catch(() => {});
    this.#look();
  }

  /** Looks at the rows; once more when it is asked for meanwhile. */
  #look(): void {
    this.#lookAgain = true;
    if (this.#looking || this.#stopping.signal.aborted) return;
    clearTimeout(this.#timer);
    this.#looking = this.#lookOnce().then((nextMs) => {
      this.#looking = null;
      if (this.#stopping.signal.aborted) return;
      if (this.#lookAgain) this.#look();
      else this.#timer = setTimeout(() => this.#look(), nextMs);
    });
  }

  /** Takes up what is due, as far as there is room; answers when to look again, in milliseconds. Never rejects. */
  async #lookOnce(): Promise<number> {
    const { clock, pollMs = 1_000 } = this.#options;
    this.#lookAgain = false;
    // Whoever ends looks again.
    if (this.#inFlight >= this.#most) return pollMs;
    try {
      const now = clock.monotonicMs();
      for (const [notification, until] of this.#postponed) if (until <= now) this.#postponed.delete(notification);
      const postponed = [...this.#postponed];
      const nextDue = await this.#takeUp(postponed.map(([notification]) => notification));
      const soonest = Math.min(
        nextDue === null ? pollMs : nextDue - clock.now(),
        ...postponed.map(([, at]) => at - now),
      );
      return Math.max(soonestMs, Math.min(pollMs, soonest));
    } catch (error) {
      this.#trouble(error);
      return unavailableMs;
    }
  }

  /**
   * Takes up what is due and not `postponed`; answers when the next one comes due. What other processes have is looked past, as
   * far as some pages go.
   */
  async #takeUp(postponed: readonly string[]): Promise<number | null> {
    const { read, clock } = this.#options;
    const taken = new Set<string>();
    for (let page = 1; ; page++) {
      const except = [...this.#held.names(), ...postponed, ...taken];
      const perWorkspace = Math.min(maxPage, this.#mostPerWorkspace + taken.size);
      const { due, nextDue } = await notificationsDue(read, { nowMs: clock.now(), perWorkspace, except });
      const refused = await this.#take(this.#chosen(due, this.#most - this.#inFlight));
      if (refused === 0 || page === maxPages) return nextDue;
      for (const each of await this.#leases.taken(due.map(({ notification }) => notification))) taken.add(each);
    }
  }

  /** As many as there is room for, of each workspace no more than its share. */
  #chosen(due: readonly Due[], room: number): Due[] {
    const counts = new Map(this.#underWay);
    const chosen: Due[] = [];
    for (const one of due) {
      if (chosen.length >= room) break;
      const count = counts.get(one.workspace) ?? 0;
      if (count >= this.#mostPerWorkspace) continue;
      counts.set(one.workspace, count + 1);
      chosen.push(one);
    }
    return chosen;
  }

  /** Claims them, and begins with those that it gets; answers how many other processes have. */
  async #take(chosen: readonly Due[]): Promise<number> {
    if (chosen.length === 0) return 0;
    const claimedAt = this.#options.clock.monotonicMs();
    const claims = await this.#leases.claim(chosen.map(({ notification }) => notification));
    let refused = 0;
    for (const [i, due] of chosen.entries()) {
      if (claims[i] === 'refused') {
        refused++;
        continue;
      }
      this.#held.add(due.notification, this.#holder, claimedAt);
      this.#count(due.workspace, 1);
      const work = this.#work(due).finally(() => {
        this.#running.delete(work);
        this.#count(due.workspace, -1);
        this.#look();
      });
      this.#running.add(work);
    }
    return refused;
  }

  #count(workspace: number, by: number): void {
    this.#inFlight += by;
    const count = (this.#underWay.get(workspace) ?? 0) + by;
    if (count > 0) this.#underWay.set(workspace, count);
    else this.#underWay.delete(workspace);
  }

  /** One round of one notification, recorded. Never rejects. */
  async #work(due: Due): Promise<void> {
    const { notification } = due;
    let settled = true;
    try {
      settled = await this.#round(due);
    } catch (error) {
      if (error instanceof DomainError && (error.code === 'not-found' || error.code === 'wrong-state')) {
        // Erased, cancelled or taken further meanwhile: the rows will show it.
      } else {
        this.#trouble(error);
        // Nothing left, or it is not known to be recorded: it is looked at again in a moment.
        this.#postponed.set(notification, this.#options.clock.monotonicMs() + unavailableMs);
        settled = false;
      }
    }
    void this.#letGo(notification, settled);
  }

  /** False when nothing was done and it is to be looked at again. */
  async #round({ workspace, notification }: Due): Promise<boolean> {
    const { commands, clock } = this.#options;
    const before = await commands.stored(workspace, notification);
    const due = dueAt(before);
    if (due === null || due > clock.now()) return true;
    const turn = await this.#rounds.takeTurn(before, await this.#rounds.plan(before));
    if (turn.waitMs > 0) {
      this.#postponed.set(notification, clock.monotonicMs() + turn.waitMs);
      return false;
    }
    this.#stopping.signal.throwIfAborted();
    const state = await commands.start(workspace, notification);
    // Its client was switched off.
    if (dueAt(state) === null) return true;
    const plan = await this.#rounds.plan(state);
    const round = await this.#rounds.run(state, plan, turn);
    const recorded = await this.#record(state, round);
    if (recorded) this.#options.onOutcome?.(plan.channel, outcomeOf(recorded, round));
    return true;
  }

  /** Records a round until it is stored: what left is never sent again meanwhile. Null when it is erased. */
  async #record(state: NotificationState, round: Round): Promise<NotificationState | null> {
    const { workspace, notification, attempts: before } = state;
    for (let waitMs: number = backoffMs.first; ; waitMs = Math.min(waitMs * 2, backoffMs.most)) {
      this.#ended.signal.throwIfAborted();
      try {
        const record = { before, round, schedule: this.#schedule };
        return (await this.#options.commands.recordRound(workspace, notification, record)).state;
      } catch (error) {
        if (error instanceof DomainError && error.code === 'not-found') return null;
        this.#trouble(error);
      }
      await sleep(waitMs, this.#ended.signal);
    }
  }

  /** Lets one go: of what is settled when the rows show what became of it. */
  async #letGo(notification: string, settled: boolean): Promise<void> {
    try {
      await this.#held.letGo(notification, settled ? await this.#head() : 0n);
      this.#look();
    } catch {
      // Stopped: its lease runs out.
    }
  }

  #head(): Promise<bigint> {
    return untilHead(this.#options.head, this.#ended.signal, (error) => this.#trouble(error));
  }

  #trouble(error: unknown): void {
    if (!this.#stopping.signal.aborted) this.#troubles.tell(error);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort(new Error('stopped'));
    clearTimeout(this.#timer);
    await this.#looking;
    const { attemptTimeoutMs = 30_000 } = this.#options;
    const finished = this.#allDone();
    await Promise.race([finished, sleep(attemptTimeoutMs + stopGraceMs, this.#ended.signal)]);
    for (let waitedMs = 0; this.#held.size > 0 && waitedMs < stopGraceMs; waitedMs += 20) await sleep(20);
    this.#ended.abort(new Error('stopped'));
    await finished;
    clearInterval(this.#tick);
    this.#reached.stop();
    await this.#rounds.close();
    await this.done.catch(() => {});
    await this.ready.catch(() => {});
  }

  async #allDone(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled([...this.#running]);
  }
}

function outcomeOf({ status }: NotificationState, { next }: Round): NotificationOutcome {
  if (status === 'sent') return 'sent';
  if (status === 'failed') return 'failed';
  return next === 'later' ? 'throttled' : 'retried';
}
