import pg from 'pg';
import { readGroup } from '../feed/checkpoint.ts';
import type { GroupPositions } from './positions.ts';

/** What processes tell each other by NOTIFY: how far partitions of a group have got, and that somebody waits for more. */
const channels = { positions: 'parley_positions', hurry: 'parley_hurry' } as const;

/** Between two announcements of a process, and between two calls to hurry. */
const announceEveryMs = 10;
const hurryEveryMs = 50;
/** How often the rows are read, for what no announcement told of: while somebody waits, and while nobody does. */
const readEveryMs = { waited: 100, unheard: 50, idle: 1_000 } as const;
const reconnectMs = { first: 100, most: 2_000 } as const;
/** Characters of one NOTIFY; Postgres takes 8,000 bytes. */
const maxPayload = 7_000;

/** What an exchange needs. */
export interface PositionExchangeOptions {
  /** The database; its address is where the exchange connects to listen. */
  readonly pool: pg.Pool;
  readonly group: string;
  readonly positions: GroupPositions;
  /** Somebody, in whatever process, waits for the group. */
  readonly onHurry?: () => void;
  /** Told after every reading of the rows, which ends with it. */
  readonly onRead?: () => Promise<void>;
}

/**
 * Keeps this process's knowledge of a group's positions fresh, and tells others what it did itself. Announcements are hints
 * that come at once; the rows, read now and then and more often while somebody waits, are the truth. One connection that
 * listens, made anew when it breaks; positions are then as the rows tell, whatever was known.
 */
export class PositionExchange {
  readonly #options: PositionExchangeOptions;
  #client: pg.Client | null = null;
  #stopped = false;
  #reconnectTimer: NodeJS.Timeout | undefined;
  #reconnectInMs: number = reconnectMs.first;
  #readTimer: NodeJS.Timeout | undefined;
  #readAt = 0;
  #reading: Promise<void> | null = null;
  /** What is to be announced. */
  #news = new Map<number, bigint>();
  #announcing = false;
  #notified: Promise<void> = Promise.resolve();
  #hurriedAt = Number.NEGATIVE_INFINITY;
  #hurryTimer: NodeJS.Timeout | undefined;

  constructor(options: PositionExchangeOptions) {
    this.#options = options;
  }

  /** Begins. Resolves when the rows were read; rejects when they cannot be, and goes on trying. */
  async start(): Promise<void> {
    void this.#connect();
    this.#readLater();
    await this.read();
  }

  /** Reads the rows. */
  read(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  /** This process has done a batch of a partition: others are told soon. */
  announce(partition: number, position: bigint): void {
    this.#news.set(partition, position);
    if (!this.#announcing) void this.#announce();
  }

  /** Somebody here waits for the group, from now on and as long as `positions` is watched: whoever does its work hurries. */
  hurry(): void {
    if (this.#hurryTimer !== undefined || this.#stopped) return;
    const restMs = hurryEveryMs - (performance.now() - this.#hurriedAt);
    if (restMs <= 0) this.#callToHurry();
    else this.#hurryTimer = setTimeout(() => this.#callToHurry(), restMs).unref();
    this.#readLater();
  }

  /** Ends it. What was to be announced may not be. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#reconnectTimer);
    clearTimeout(this.#readTimer);
    clearTimeout(this.#hurryTimer);
    await this.#reading?.catch(() => {});
    const client = this.#client;
    this.#client = null;
    await client?.end().catch(() => {});
  }

  #callToHurry(): void {
    this.#hurriedAt = performance.now();
    this.#notify(channels.hurry, this.#options.group);
    // Again while somebody waits: a projector that was told hurries for little longer than this.
    this.#hurryTimer = setTimeout(() => {
      this.#hurryTimer = undefined;
      if (this.#options.positions.watched) this.hurry();
    }, hurryEveryMs).unref();
  }

  async #read(): Promise<void> {
    const { pool, group, positions, onRead } = this.#options;
    positions.raise((await readGroup(pool, group)).positions);
    await onRead?.();
  }

  /** Sees to it that the rows are read again in time; not later than it was seen to before. */
  #readLater(): void {
    if (this.#stopped) return;
    const { waited, unheard, idle } = readEveryMs;
    const everyMs = !this.#options.positions.watched ? idle : this.#client ? waited : unheard;
    const at = performance.now() + everyMs;
    if (this.#readTimer !== undefined && this.#readAt <= at) return;
    clearTimeout(this.#readTimer);
    this.#readAt = at;
    this.#readTimer = setTimeout(() => {
      this.#readTimer = undefined;
      // Postgres is away: whoever waits runs into the end of its time.
      void this.read()
        .catch(() => {})
        .then(() => this.#readLater());
    }, everyMs).unref();
  }

  async #announce(): Promise<void> {
    const { group, positions } = this.#options;
    this.#announcing = true;
    while (this.#news.size > 0 && !this.#stopped) {
      const news = [...this.#news];
      this.#news = new Map();
      const head = `${group} ${positions.partitions}`;
      let payload = head;
      for (const [partition, position] of news) {
        if (payload.length > maxPayload) {
          this.#notify(channels.positions, payload);
          payload = head;
        }
        payload += ` ${partition}=${position}`;
      }
      this.#notify(channels.positions, payload);
      await new Promise((resolve) => setTimeout(resolve, announceEveryMs));
    }
    this.#announcing = false;
  }

  /** One at a time; what cannot be said now is not said later. */
  #notify(channel: string, payload: string): void {
    const client = this.#client;
    if (!client) return;
    this.#notified = this.#notified
      .then(() => client.query('SELECT pg_notify($1, $2)', [channel, payload]))
      .then(
        () => {},
        () => this.#lost(client),
      );
  }

  #hear(channel: string, payload: string): void {
    const { group, positions, onHurry } = this.#options;
    const [of, count, ...news] = payload.split(' ');
    if (of !== group) return;
    if (channel === channels.hurry) {
      onHurry?.();
      return;
    }
    let known = Number(count) === positions.partitions;
    for (const each of known ? news : []) {
      const [partition = '', position = ''] = each.split('=');
      known = positions.reach(Number(partition), BigInt(position)) && known;
    }
    // The group has other partitions now.
    if (!known) this.read().catch(() => {});
  }

  async #connect(): Promise<void> {
    const { connectionString } = this.#options.pool.options;
    const client = new pg.Client({
      ...(connectionString !== undefined && { connectionString }),
      application_name: 'parley-positions',
      connectionTimeoutMillis: 3_000,
      query_timeout: 3_000,
      keepAlive: true,
    });
    client.on('error', () => this.#lost(client));
    client.on('end', () => this.#lost(client));
    client.on('notification', ({ channel, payload = '' }) => this.#hear(channel, payload));
    try {
      await client.connect();
      // It holds up no end of the process; the typings do not know it.
      (client as unknown as { unref(): void }).unref();
      await client.query(`LISTEN ${channels.positions}; LISTEN ${channels.hurry}`);
      const { pool, group, positions } = this.#options;
      positions.set((await readGroup(pool, group)).positions);
    } catch {
      this.#reconnect();
      client.end().catch(() => {});
      return;
    }
    if (this.#stopped) {
      client.end().catch(() => {});
      return;
    }
    this.#client = client;
    this.#reconnectInMs = reconnectMs.first;
    // What was called out while nobody heard it.
    if (this.#options.positions.watched) this.#callToHurry();
  }

  #lost(client: pg.Client): void {
    if (this.#client !== client) return;
    this.#client = null;
    client.end().catch(() => {});
    this.#reconnect();
  }

  #reconnect(): void {
    if (this.#stopped) return;
    clearTimeout(this.#reconnectTimer);
    this.#reconnectTimer = setTimeout(() => void this.#connect(), this.#reconnectInMs).unref();
    this.#reconnectInMs = Math.min(this.#reconnectInMs * 2, reconnectMs.most);
    this.#readLater();
  }
}
