import { randomUUID } from 'node:crypto';
import pg from 'pg';

/** Names what may be lost: presence, typing. */
export type EphemeralHandler = (workspace: number, payload: string) => void;

/** How the bus runs. */
export interface EphemeralOptions {
  readonly url: string;
  /** The only process there is: nothing leaves it. */
  readonly sole?: boolean;
  readonly onTrouble: (error: unknown) => void;
}

/** Bytes of one message at most, spelled as JSON. Postgres carries 7,999 in a notification, our envelope included. */
export const maxEphemeralBytes = 7_800;

const channel = 'parley_ephemeral';
/** Bytes of one notification at most. */
const maxNotificationBytes = 7_900;
/** Messages that may wait for the one under way; beyond that they are lost. */
const maxWaiting = 1_000;
const reconnectMs = { first: 100, most: 5_000 } as const;

type Message = readonly [workspace: number, topic: string, payload: string];

/**
 * What may be lost, between processes: handlers of this process get it at once, those of others by NOTIFY. Many messages go
 * into one notification, and one statement is under way at a time, since whoever notifies makes commits wait for each other.
 */
export class EphemeralBus {
  readonly #options: EphemeralOptions;
  readonly #process = randomUUID();
  readonly #handlers = new Map<string, Set<EphemeralHandler>>();
  /** Spelled as JSON. */
  #waiting: string[] = [];
  #sending = false;
  #client: pg.Client | null = null;
  #connecting: Promise<void> | null = null;
  #retry: NodeJS.Timeout | undefined;
  #retryInMs: number = reconnectMs.first;
  #stopped = false;
  /** Messages that did not reach other processes. */
  lost = 0;

  constructor(options: EphemeralOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Listens. Resolves when it does, or when the first attempt failed: it goes on trying. */
  async start(): Promise<void> {
    if (this.#options.sole !== true) await this.#connect();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    await this.#connecting;
    const client = this.#client;
    this.#client = null;
    await client?.end().catch(() => {});
  }

  /** Tells everybody who listens to the topic, in every process. Throws RangeError when the payload is too large. */
  publish(workspace: number, topic: string, payload: string): void {
    const message: Message = [workspace, topic, payload];
    const spelled = JSON.stringify(message);
    if (Buffer.byteLength(spelled) > maxEphemeralBytes) {
      throw new RangeError(`at most ${maxEphemeralBytes} bytes are told at once`);
    }
    this.#tell(workspace, topic, payload);
    if (this.#options.sole === true || this.#stopped) return;
    if (this.#waiting.length >= maxWaiting || this.#client === null) {
      this.lost++;
      return;
    }
    this.#waiting.push(spelled);
    if (this.#sending) return;
    this.#sending = true;
    queueMicrotask(() => void this.#send());
  }

  /** Listens to a topic, of all workspaces. Answers how to stop it. Handlers do not throw. */
  subscribe(topic: string, handler: EphemeralHandler): () => void {
    const handlers = this.#handlers.get(topic) ?? new Set();
    this.#handlers.set(topic, handlers.add(handler));
    return () => handlers.delete(handler);
  }

  #tell(workspace: number, topic: string, payload: string): void {
    for (const handler of this.#handlers.get(topic) ?? []) handler(workspace, payload);
  }

  async #send(): Promise<void> {
    while (this.#waiting.length > 0) {
      const { text, messages } = this.#pack();
      try {
        if (this.#client === null) throw new Error('not connected');
        await this.#client.query({ name: 'ephemeral', text: 'SELECT pg_notify($1, $2)', values: [channel, text] });
      } catch {
        this.lost += messages;
      }
    }
    this.#sending = false;
  }

  /** As many of those who wait as one notification holds: at least one, by `maxEphemeralBytes`. */
  #pack(): { text: string; messages: number } {
    let text = JSON.stringify(this.#process);
    let bytes = text.length + 2;
    let messages = 0;
    for (const spelled of this.#waiting) {
      const more = Buffer.byteLength(spelled) + 1;
      if (bytes + more > maxNotificationBytes) break;
      text += `,${spelled}`;
      bytes += more;
      messages++;
    }
    this.#waiting = this.#waiting.slice(messages);
    return { text: `[${text}]`, messages };
  }

  #connect(): Promise<void> {
    this.#connecting ??= this.#connectAnew().finally(() => {
      this.#connecting = null;
    });
    return this.#connecting;
  }

  async #connectAnew(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.#options.url,
      application_name: 'parley-ephemeral',
      connectionTimeoutMillis: 3_000,
      query_timeout: 3_000,
    });
    const lost = () => {
      if (this.#client === client) this.#client = null;
      client.end().catch(() => {});
      this.#reconnect();
    };
    client.on('error', lost);
    client.on('end', lost);
    client.on('notification', ({ payload = '' }) => this.#hear(payload));
    try {
      await client.connect();
      await client.query(`LISTEN ${channel}`);
      this.#client = client;
      this.#retryInMs = reconnectMs.first;
    } catch (error) {
      this.#options.onTrouble(error);
      lost();
    }
  }

  #reconnect(): void {
    if (this.#stopped || this.#retry !== undefined) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      if (!this.#stopped) void this.#connect();
    }, this.#retryInMs).unref();
    this.#retryInMs = Math.min(this.#retryInMs * 2, reconnectMs.most);
  }

  #hear(text: string): void {
    const [process, ...messages] = JSON.parse(text) as [string, ...Message[]];
    if (process === this.#process) return;
    for (const [workspace, topic, payload] of messages) this.#tell(workspace, topic, payload);
  }
}
