import type pg from 'pg';
import { UnknownEventError } from '../../schemas/index.ts';
import type { Log, RecordedEvent } from '../log/log.ts';
import { type Clock, sleep, systemClock } from '../platform/clock.ts';
import { Connections } from './connections.ts';
import { EphemeralBus } from './ephemeral.ts';
import { Hub, type HubGauges, type Target } from './hub.ts';
import { defaultLimits, type GatewayLimits } from './limits.ts';
import { Patience, Turns } from './patience.ts';
import type { Session } from './session.ts';
import type { Opened, OpenRequest } from './sessions.ts';
import type { ReadModel, Shared } from './shared.ts';
import type { HistoryItem, SocketDialect, Variant } from './socket-dialect.ts';
import { type Due, Wheel } from './wheel.ts';

/** What the gateway needs. */
export interface GatewayOptions {
  readonly log: Pick<Log, 'tail' | 'head'>;
  /** For leases of connections. Migrated (`gatewayMigrations`). */
  readonly pool: pg.Pool;
  /** The same database, for what may be lost: a connection of its own. */
  readonly url: string;
  readonly readModel: ReadModel;
  /** The position that the read model has reached at the start: the ring begins there, and so does the tail. */
  readonly startAt: () => Promise<bigint>;
  /** The only process there is: nobody else has connections, and nothing needs to be told to others. */
  readonly sole?: boolean;
  readonly limits?: Partial<GatewayLimits>;
  /** Of a process's lease on its connections, milliseconds. Default 10 000, renewed every 2000. */
  readonly leaseLifeMs?: number;
  readonly leaseRenewMs?: number;
  readonly clock?: Clock;
  /** In [0, 1). Default: Math.random. */
  readonly random?: () => number;
  readonly onTrouble: (error: unknown, text: string) => void;
}

/** The sockets of one dialect. */
export interface Sockets<Context> {
  /** Opens a session. Never rejects. */
  open(request: OpenRequest<Context>): Promise<Opened<Context>>;
  /**
   * Sends frames that have no place in the log (typing, presence) to live sessions of this process; none while the tail is
   * silent. `frame` spells a variant, once; `position` is the one that such a frame carries.
   */
  broadcast(
    target: Target,
    variant: (session: Session<Context>) => Variant | null,
    frame: (variant: Variant, position: string) => string,
  ): void;
  gauges(): HubGauges;
}

/** A running gateway. */
export interface Gateway {
  /** Adds a dialect's sockets. Before `start`, so that its ring begins where the tail does. */
  sockets<Context, Item extends HistoryItem>(dialect: SocketDialect<Context, Item>): Sockets<Context>;
  /** Begins to follow the log. Resolves when the tail has reached where the log ended by then. */
  start(): Promise<void>;
  /** Everything up to here has been taken from the log. */
  readonly position: bigint;
  /** False when the tail has been silent for more than a second: what peers send is not to be acted upon then. */
  readonly fresh: boolean;
  /** What may be lost, between processes. */
  readonly ephemeral: Pick<EphemeralBus, 'publish' | 'subscribe'>;
  /** Which of these accounts have a connection, in any process. Rejects when the database is away. */
  online(workspace: number, accounts: readonly number[]): Promise<ReadonlySet<number>>;
  /** Accounts of the workspace that have one, lowest first. */
  onlineIn(workspace: number, maxAccounts: number): Promise<number[]>;
  /**
   * Closes all sessions, each told where to go on and a delay of its own. With `refuse`, for a process that is about to
   * stop, none is opened any more.
   */
  drain(options?: { readonly refuse: boolean }): Promise<void>;
  /** Drains, waits for peers to go, ends leases. */
  stop(): Promise<void>;
  /** Rejects when an event cannot be read by this code: nothing is shown any more. Resolves when stopped. */
  readonly done: Promise<void>;
  /** By name, for metrics: a hub's are named after its dialect. */
  gauges(): Readonly<Record<string, number>>;
}

const wheelTickMs = 250;
/** A minute and a bit: longer reminders go round. */
const wheelSlots = 256;
const sweepTicks = 4;
const retryMs = { first: 50, most: 2_000 } as const;
/** Sessions offered to before what was offered is written and others get a turn: some 10 ms. */
const workPerTurn = 20_000;
/** How often events are prepared at most before they are taken. */
const maxPreparations = 3;

/** Makes a gateway, not yet following. */
export function createGateway(options: GatewayOptions): Gateway {
  return new GatewayProcess(options);
}

class GatewayProcess implements Gateway, Shared {
  readonly connections: Connections;
  readonly readModel: ReadModel;
  readonly patience: Patience;
  readonly turns: Turns;
  readonly wheel: Wheel<Due>;
  readonly limits: GatewayLimits;
  readonly ephemeral: EphemeralBus;
  readonly ready: Promise<void>;
  readonly done: Promise<void>;
  position = 0n;
  draining = false;
  readonly #options: GatewayOptions;
  readonly #clock: Clock;
  readonly #hubs: Hub<never, never>[] = [];
  readonly #stopping = new AbortController();
  readonly #ready = Promise.withResolvers<void>();
  readonly #done = Promise.withResolvers<void>();
  #heardMs = Number.NEGATIVE_INFINITY;
  #asking = false;
  #timer: NodeJS.Timeout | undefined;
  #ticks = 0;
  #work = 0;

  constructor(options: GatewayOptions) {
    const { pool, url, sole = false, leaseLifeMs, leaseRenewMs, onTrouble } = options;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.limits = { ...defaultLimits, ...options.limits };
    this.readModel = options.readModel;
    this.patience = new Patience(() => this.nowMs());
    this.turns = new Turns(this.limits.maxReads);
    this.wheel = new Wheel({ tickMs: wheelTickMs, slots: wheelSlots, nowMs: () => this.nowMs() });
    this.connections = new Connections({
      pool,
      sole,
      ...(leaseLifeMs !== undefined && { lifeMs: leaseLifeMs }),
      ...(leaseRenewMs !== undefined && { renewIntervalMs: leaseRenewMs }),
      onTrouble: (error) => onTrouble(error, 'connections could not be written'),
    });
    this.ephemeral = new EphemeralBus({
      url,
      sole,
      onTrouble: (error) => onTrouble(error, 'presence and typing are not told to other processes'),
    });
    this.ready = this.#ready.promise;
    this.done = this.#done.promise;
    // Whoever waits is told; nobody has to.
    this.ready.catch(() => {});
    this.done.catch(() => {});
  }

  nowMs(): number {
    return this.#clock.monotonicMs();
  }

  epochMs(): number {
    return this.#clock.now();
  }

  random(): number {
    return (this.#options.random ?? Math.random)();
  }

  head(): Promise<bigint> {
    return this.#options.log.head();
  }

  onTrouble(error: unknown, text: string): void {
    this.#options.onTrouble(error, text);
  }

  get fresh(): boolean {
    return this.nowMs() - this.#heardMs <= this.limits.maxSilenceMs;
  }

  sockets<Context, Item extends HistoryItem>(dialect: SocketDialect<Context, Item>): Sockets<Context> {
    if (this.#timer !== undefined) throw new TypeError('sockets are added before the gateway starts');
    const hub = new Hub(dialect, this);
    this.#hubs.push(hub as unknown as Hub<never, never>);
    return {
      open: (request) => hub.sessions.open(request),
      broadcast: (target, variant, frame) => hub.broadcast(target, variant, frame),
      gauges: () => hub.gauges(),
    };
  }

  async start(): Promise<void> {
    const [from, head] = await Promise.all([this.#options.startAt(), this.head(), this.connections.start()]);
    await this.ephemeral.start();
    this.position = from;
    for (const hub of this.#hubs) hub.begin(from);
    this.#timer = setInterval(() => this.#tick(), wheelTickMs).unref();
    void this.#follow(head).then(this.#done.resolve, (error: unknown) => {
      this.#ready.reject(error);
      this.#done.reject(error);
    });
    await this.ready;
  }

  #tick(): void {
    this.wheel.turn();
    this.#ticks++;
    if (this.#ticks % sweepTicks === 0) for (const hub of this.#hubs) hub.sweep();
    if (!this.fresh && !this.#asking) void this.#ask();
  }

  /** The tail is silent: when the log says that nothing has happened, all is well. */
  async #ask(): Promise<void> {
    this.#asking = true;
    const askedMs = this.nowMs();
    try {
      if ((await this.head()) === this.position) this.#heardMs = askedMs;
    } catch {
      // Storage is away: whoever waits goes on waiting.
    } finally {
      this.#asking = false;
    }
  }

  /** Follows the tail until stopped. Rejects with UnknownEventError alone. */
  async #follow(readyAt: bigint): Promise<void> {
    const { signal } = this.#stopping;
    let retryInMs: number = retryMs.first;
    while (!signal.aborted) {
      try {
        if (this.position >= readyAt) this.#ready.resolve();
        for await (const { events, position } of this.#options.log.tail(this.position, signal)) {
          const heardMs = this.nowMs();
          if (events.length > 0) await this.#take(events);
          this.position = position;
          for (const hub of this.#hubs) hub.flush(position);
          this.#heardMs = heardMs;
          retryInMs = retryMs.first;
          if (position >= readyAt) this.#ready.resolve();
        }
      } catch (error) {
        if (error instanceof UnknownEventError) throw error;
        if (signal.aborted) return;
        this.onTrouble(error, 'the tail of the log failed, and is begun again');
        await sleep(retryInMs, signal).catch(() => {});
        retryInMs = Math.min(retryInMs * 2, retryMs.most);
      }
    }
  }

  async #take(events: readonly RecordedEvent[]): Promise<void> {
    // Again after a wait: sockets may have become live meanwhile, and be shown what nobody was before.
    for (let times = 0; times < maxPreparations; times++) {
      const preparing = this.#hubs.flatMap((hub) => hub.prepare(events) ?? []);
      if (preparing.length === 0 || !(await this.#prepared(preparing))) break;
    }
    for (const event of events) {
      for (const hub of this.#hubs) this.#work += hub.take(event, this.position);
      this.position = event.position;
      if (this.#work < workPerTurn) continue;
      this.#work = 0;
      for (const hub of this.#hubs) hub.flush(this.position);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** False when what they are spelled with is not known in time: then they are taken without. */
  async #prepared(preparing: readonly Promise<void>[]): Promise<boolean> {
    const timer = new AbortController();
    const late = sleep(this.limits.maxPrepareMs, timer.signal).then(() => {
      throw new Error('a dialect takes too long to prepare events');
    });
    try {
      await Promise.race([Promise.all(preparing), late]);
      return true;
    } catch (error) {
      this.onTrouble(error, 'what events are spelled with is not known');
      return false;
    } finally {
      timer.abort();
      late.catch(() => {});
    }
  }

  online(workspace: number, accounts: readonly number[]): Promise<ReadonlySet<number>> {
    return this.connections.online(workspace, accounts);
  }

  onlineIn(workspace: number, maxAccounts: number): Promise<number[]> {
    return this.connections.onlineIn(workspace, maxAccounts);
  }

  async drain({ refuse } = { refuse: false }): Promise<void> {
    if (refuse) this.draining = true;
    for (const hub of this.#hubs) await hub.sessions.drain();
  }

  async stop(): Promise<void> {
    await this.drain({ refuse: true });
    // Twice: peers that do not answer are cut after the first, and say so then.
    await this.patience.until(() => this.connections.held === 0, this.limits.closeTimeoutMs + 4 * wheelTickMs);
    this.#stopping.abort();
    clearInterval(this.#timer);
    await this.done.catch(() => {});
    await Promise.all([this.connections.stop(), this.ephemeral.stop()]);
  }

  gauges(): Readonly<Record<string, number>> {
    const all: Record<string, number> = {
      connections_held: this.connections.held,
      connections_waiting: this.connections.waiting,
      waiting: this.patience.waiting,
      reads_waiting: this.turns.waiting,
      ephemeral_waiting: this.ephemeral.waiting,
      ephemeral_lost: this.ephemeral.lost,
    };
    for (const hub of this.#hubs) {
      for (const [name, value] of Object.entries(hub.gauges())) all[`${hub.dialect.name}_${name}`] = value;
    }
    return all;
  }
}
