import type pg from 'pg';
import type { Queryable } from '../../projections/projection.ts';
import type { ConnectorType } from '../commands/index.ts';
import type { ConsumerLogger, Feed } from '../feed/feed.ts';
import { sleep } from '../platform/clock.ts';
import { Attempts, type AttemptsOptions } from './attempt.ts';
import { rowsCaughtUp, unavailableMs } from './catch-up.ts';
import { fillLane } from './fill.ts';
import { Held } from './held.ts';
import { Lane, type ReadyDispatch } from './lane.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import { Leases } from './leases.ts';
import { Lookout } from './lookout.ts';
import { defaultPace, type Pace, TokenBucket } from './pacing.ts';
import { type Projected, Reached } from './reached.ts';
import { defaultSchedule, type Schedule } from './schedule.ts';
import { type DispatchOutcome, Settling, type SettlingOptions } from './settling.ts';
import { Slots } from './slots.ts';
import { Troubles } from './trouble.ts';

/** What the dispatcher needs. Times in milliseconds. */
export interface DispatcherOptions extends Omit<AttemptsOptions, 'schedule' | 'random' | 'commands'> {
  readonly feed: Feed;
  /** Where rows of projections are read. */
  readonly read: Queryable;
  /** The database of the schema `work`. */
  readonly work: pg.Pool;
  readonly projected: Projected;
  /** Consumer group of the projector. */
  readonly projectorGroup: string;
  /** The last position of the log. */
  readonly head: () => Promise<bigint>;
  readonly commands: AttemptsOptions['commands'] & SettlingOptions['commands'];
  readonly logger: ConsumerLogger;
  /** No other process sends: its rows are not read again under a lease. See `endLeases` too. */
  readonly sole: boolean;
  /** Nothing is sent before this resolves: callbacks' addresses may not be known sooner. */
  readonly sendAfter?: Promise<unknown>;
  readonly schedule?: Schedule;
  readonly pace?: Pace;
  /** Attempts under way at once per connector, 32 unless told; half of the provider's at most. */
  readonly concurrencyPerConnector?: number;
  /** The same per provider, its connections; 64 unless told. */
  readonly concurrencyPerProvider?: number;
  /** Dispatches held at once, settled ones included; 4,000 unless told. */
  readonly maxHeld?: number;
  /** How often it is looked for what no wake told of; 1,000 unless told. */
  readonly pollMs?: number;
  /** Life of a lease that is not renewed; 30,000 unless told. */
  readonly leaseMs?: number;
  readonly random?: () => number;
  readonly onOutcome?: (type: ConnectorType, outcome: DispatchOutcome) => void;
}

/** How much is under way. */
export interface DispatcherDepths {
  /** Claimed and waiting for pace or a slot. */
  readonly waiting: number;
  readonly inFlight: number;
  /** Ended attempts that are not known to be recorded. */
  readonly recording: number;
  /** Recorded ones that the rows may not show yet. */
  readonly settled: number;
  /** Connectors with something to do. */
  readonly lanes: number;
}

/** The running dispatcher. */
export interface Dispatcher {
  /** Resolves when it has begun to send: the rows had got to where the log ended at its start. */
  readonly ready: Promise<void>;
  /** Rejects with an event that this code cannot read. */
  readonly done: Promise<void>;
  depths(): DispatcherDepths;
  /** Ends cleanly: attempts under way are finished and recorded, nothing new begins. */
  stop(): Promise<void>;
}

/** Sends what is due until it is stopped. The contract is in `index.ts`. */
export function startDispatcher(options: DispatcherOptions): Dispatcher {
  return new RunningDispatcher(options);
}

const tickMs = 250;
/** After which a lane without work is forgotten, and with it what it learnt. */
const idleMs = 10_000;
/** A lease is believed in no longer than this before its end. */
const leaseMarginMs = 2_000;
/** For what follows on an attempt at a stop: its recording, and the rows that show it. */
const stopGraceMs = 3_000;

class RunningDispatcher implements Dispatcher {
  readonly ready: Promise<void>;
  readonly done: Promise<void>;
  readonly #options: DispatcherOptions;
  readonly #schedule: Schedule;
  readonly #pace: Pace;
  readonly #leaseMs: number;
  readonly #maxHeld: number;
  readonly #mostPerLane: number;
  readonly #startedAt: number;
  readonly #stopping = new AbortController();
  readonly #ended = new AbortController();
  readonly #lanes = new Map<string, Lane>();
  readonly #attempts: Attempts;
  readonly #settling: Settling;
  readonly #leases: Leases;
  readonly #reached: Reached;
  readonly #held: Held;
  readonly #slots: Readonly<Record<ConnectorType, Slots<Lane>>>;
  readonly #overall: TokenBucket;
  readonly #running = new Set<Promise<void>>();
  /** Lanes that could hold more and may not. */
  readonly #starved = new Set<Lane>();
  readonly #keeper: LeaseKeeper;
  readonly #troubles: Troubles;
  readonly #lookout: Lookout;
  #tick: NodeJS.Timeout | null = null;
  #stopped: Promise<void> | null = null;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#schedule = options.schedule ?? defaultSchedule;
    this.#pace = options.pace ?? defaultPace;
    this.#leaseMs = options.leaseMs ?? 30_000;
    this.#maxHeld = options.maxHeld ?? 4_000;
    this.#startedAt = options.clock.now();
    this.#troubles = new Troubles(options.logger, 'the dispatcher met trouble and goes on', () => this.#now());
    const { work: pool, projectorGroup } = options;
    this.#attempts = new Attempts({ ...options, schedule: this.#schedule, random: options.random ?? Math.random });
    this.#leases = new Leases({ pool, lifeMs: this.#leaseMs, projectorGroup });
    this.#reached = new Reached(options.projected);
    this.#held = new Held(this.#leases, this.#reached, this.#ended.signal, (error) => this.#trouble(error));
    this.#settling = new Settling({
      ...options,
      held: this.#held,
      ended: this.#ended.signal,
      onReleased: (lane, retryAt) => this.#onReleased(lane, retryAt),
      onTrouble: (error) => this.#trouble(error),
    });
    const perProvider = options.concurrencyPerProvider ?? 64;
    // One connector never has all of its provider's slots: those that hang are held up to the time-out.
    this.#mostPerLane = Math.max(1, Math.min(options.concurrencyPerConnector ?? 32, Math.floor(perProvider / 2)));
    const slots = () => new Slots<Lane>(perProvider, (lane) => this.#pump(lane));
    this.#slots = { whatsapp: slots(), telegram: slots(), twilio: slots() };
    this.#overall = new TokenBucket(this.#pace.overall);
    this.#keeper = new LeaseKeeper(this.#leases, this.#held, this.#leaseMs, (error) => this.#trouble(error));
    this.#lookout = new Lookout({
      ...options,
      reached: this.#reached,
      signal: this.#stopping.signal,
      onDue: (workspace, connector) => this.#stir(this.#lane(workspace, connector)),
      onTrouble: (error) => this.#trouble(error),
    });
    this.ready = this.#begin();
    this.ready.catch(() => {});
    this.done = this.#lookout.hear(this.ready);
  }

  depths(): DispatcherDepths {
    let waiting = 0;
    let inFlight = 0;
    for (const lane of this.#lanes.values()) {
      waiting += lane.readyCount;
      inFlight += lane.inFlight;
    }
    const { depth } = this.#settling;
    return { waiting, inFlight, recording: depth, settled: this.#held.settled, lanes: this.#lanes.size };
  }

  /** Rows may be behind what an earlier process recorded: nothing is sent before they are not. */
  async #begin(): Promise<void> {
    const { signal } = this.#stopping;
    const { head } = this.#options;
    const onTrouble = (error: unknown) => this.#trouble(error);
    await rowsCaughtUp({ head, reached: this.#reached, signal, onTrouble });
    const { promise: stopped, reject: onStop } = Promise.withResolvers<never>();
    signal.addEventListener('abort', () => onStop(signal.reason), { once: true });
    await Promise.race([this.#options.sendAfter, stopped]);
    signal.throwIfAborted();
    this.#tick = setInterval(() => this.#onTick(), tickMs);
    this.#tick.unref();
    this.#lookout.look();
  }

  #lane(workspace: number, connector: number): Lane {
    const name = `${workspace}/${connector}`;
    let lane = this.#lanes.get(name);
    if (!lane) {
      lane = new Lane(workspace, connector, this.#mostPerLane, this.#pace);
      lane.usedAt = this.#now();
      this.#lanes.set(name, lane);
    }
    return lane;
  }

  #now(): number {
    return this.#options.clock.monotonicMs();
  }

  #stir(lane: Lane): void {
    lane.dirty = true;
    this.#pump(lane);
  }

  /** Sends what may be sent now, and sees to it that it is looked at again when more may. */
  #pump(lane: Lane): void {
    if (this.#stopping.signal.aborted) return;
    const now = this.#now();
    lane.usedAt = now;
    if (lane.dirtyAt <= now) {
      lane.dirty = true;
      lane.dirtyAt = Number.POSITIVE_INFINITY;
    }
    let wakeAt = lane.dirtyAt;
    while (lane.readyCount > 0) {
      if (this.#settling.troubled) {
        wakeAt = Math.min(wakeAt, now + tickMs);
        break;
      }
      const next = lane.next(now);
      if (!next) break;
      const waitMs = 'waitMs' in next ? next.waitMs : this.#overall.waitMs(now);
      if (waitMs > 0 || 'waitMs' in next) {
        wakeAt = Math.min(wakeAt, now + waitMs);
        break;
      }
      if (!this.#start(lane, next.next, now)) break;
    }
    if (lane.dirty && lane.wanted > 0 && !lane.filling) {
      if (lane.pausedUntil > now) wakeAt = Math.min(wakeAt, lane.pausedUntil);
      else this.#fill(lane);
    }
    this.#wakeLane(lane, wakeAt, now);
  }

  #wakeLane(lane: Lane, at: number, now: number): void {
    if (at >= lane.timerAt) return;
    if (lane.timer) clearTimeout(lane.timer);
    lane.timerAt = at;
    // Rounded up: a timer that fires early would only find that it has to wait again.
    lane.timer = setTimeout(
      () => {
        lane.timer = null;
        lane.timerAt = Number.POSITIVE_INFINITY;
        this.#pump(lane);
      },
      Math.min(Math.ceil(at - now), 60_000),
    );
  }

  /** Begins an attempt; false when there is no slot for it. */
  #start(lane: Lane, ready: ReadyDispatch, now: number): boolean {
    const { dispatch, connectorType } = ready.row;
    if (!this.#holds(dispatch, now)) {
      lane.drop(dispatch);
      this.#held.forget(dispatch);
      lane.dirty = true;
      return true;
    }
    if (!this.#slots[connectorType].take(lane)) return false;
    lane.begin(ready, now);
    this.#overall.take(now);
    const attempt = this.#attempt(lane, ready).finally(() => this.#running.delete(attempt));
    this.#running.add(attempt);
    return true;
  }

  /** False when the lease may be another's by now. */
  #holds(dispatch: string, now: number): boolean {
    const holding = this.#held.get(dispatch);
    return holding !== undefined && now - holding.renewedAt <= this.#leaseMs - leaseMarginMs;
  }

  async #attempt(lane: Lane, ready: ReadyDispatch): Promise<void> {
    const { row } = ready;
    const end = await this.#attempts.run(row, ready.verify, () => this.#holds(row.dispatch, this.#now()));
    const now = this.#now();
    lane.end(row.dispatch);
    if (end.end === 'unavailable') lane.pausedUntil = Math.max(lane.pausedUntil, now + unavailableMs);
    if (end.end === 'record' && end.result) {
      const { command } = end.record;
      const pauseMs = command.command === 'RecordDeferred' ? command.retryAt - this.#options.clock.now() : 0;
      lane.answered(end.result, now, pauseMs);
    }
    // What waits here for long would be held from others, and counts against what may be held.
    for (const shed of lane.shed(lane.pausedUntil > now ? 0 : 2 * lane.limit)) this.#settling.putBack(lane, shed.row);
    this.#slots[row.connectorType].give(lane);
    const settled = this.#settling.settle(lane, row, end);
    this.#pump(lane);
    await settled;
  }

  #onReleased(lane: Lane, retryAt: number | null): void {
    if (retryAt !== null) {
      const dueInMs = Math.max(0, retryAt - this.#options.clock.now());
      lane.dirtyAt = Math.min(lane.dirtyAt, this.#now() + dueInMs);
      this.#pump(lane);
    }
    for (const starved of [...this.#starved]) {
      if (this.#held.size >= this.#maxHeld) return;
      this.#starved.delete(starved);
      this.#stir(starved);
    }
  }

  #fill(lane: Lane): void {
    const room = this.#maxHeld - this.#held.size;
    if (room <= 0) {
      this.#starved.add(lane);
      return;
    }
    lane.dirty = false;
    const { read, clock, sole } = this.#options;
    const filling = fillLane(lane, Math.min(lane.wanted, room), {
      read,
      clock,
      shared: !sole,
      leases: this.#leases,
      held: this.#held,
      freshFrom: this.#startedAt,
    }).then(
      ({ more, againInMs }) => {
        if (more) lane.dirty = true;
        if (againInMs !== null) lane.dirtyAt = Math.min(lane.dirtyAt, this.#now() + againInMs);
      },
      (error: unknown) => {
        this.#trouble(error);
        lane.dirtyAt = Math.min(lane.dirtyAt, this.#now() + unavailableMs);
      },
    );
    const tracked = filling.finally(() => {
      lane.filling = null;
      this.#running.delete(tracked);
      if (this.#stopping.signal.aborted) for (const { row } of lane.shed(0)) this.#settling.putBack(lane, row);
      else this.#pump(lane);
    });
    lane.filling = tracked;
    this.#running.add(tracked);
  }

  #onTick(): void {
    const now = this.#now();
    for (const [name, lane] of this.#lanes) {
      lane.watchSlow(now);
      if (!lane.idle || now - lane.usedAt < idleMs) continue;
      this.#lanes.delete(name);
      this.#starved.delete(lane);
      if (lane.type !== null) this.#slots[lane.type].leave(lane);
    }
    this.#keeper.tick(now);
  }

  #trouble(error: unknown): void {
    if (!this.#ended.signal.aborted) this.#troubles.tell(error);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    for (const lane of this.#lanes.values()) {
      if (lane.timer) clearTimeout(lane.timer);
      for (const { row } of lane.shed(0)) this.#settling.putBack(lane, row);
    }
    const finished = this.#allDone();
    await Promise.race([finished, sleep(this.#schedule.attemptTimeoutMs + stopGraceMs, this.#ended.signal)]);
    this.#settling.abandon();
    await finished;
    // Leases of settled dispatches are let go only when the rows show them; what is not let go runs out.
    for (let waitedMs = 0; this.#held.size > 0 && waitedMs < stopGraceMs; waitedMs += 20) await sleep(20);
    if (this.#tick) clearInterval(this.#tick);
    this.#reached.stop();
    this.#ended.abort(new Error('stopped'));
    await this.done.catch(() => {});
    await this.ready.catch(() => {});
  }

  async #allDone(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled([...this.#running]);
  }
}
