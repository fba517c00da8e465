/**
 * A client of EventStoreDB that can be thrown away. Its `deadline` is the server's only: against a silent server a call
 * stays pending, so every wait here has a timer of its own; when one expires the client is disposed of, channel and all,
 * and the next call makes another. No rejection of a dying client is left without a handler.
 */
import {
  type CommandError,
  ErrorType,
  EventStoreDBClient,
  isCommandError,
  type StreamingRead,
} from '@eventstore/db-client';
import type { StreamsClient } from '@eventstore/db-client/generated/streams_grpc_pb.js';
import type { CallOptions, Channel, Metadata } from '@grpc/grpc-js';
import { sleep } from '../platform/clock.ts';
import { LogUnavailableError } from './log.ts';

/** What of the client's inside is used: its channel, to be closed; its calls, to open a stream of appends. */
interface ClientInternals {
  getChannel(): Promise<Channel>;
  handleError(client: unknown, error: Error): Promise<void>;
  callArguments(options: { requiresLeader?: boolean }, callOptions: CallOptions): [Metadata, CallOptions];
  GRPCStreamCreator<T>(client: unknown, name: string, create: (client: StreamsClient) => T): () => Promise<T>;
}

/** The gRPC code that the server refuses a position between two records with. */
export const INVALID_ARGUMENT = 3;

/** First and longest pause between two attempts, milliseconds. */
const backoffMs = { first: 100, most: 5_000 };

/** The pause before the n-th attempt in a row, from 1. */
export function backoff(failures: number): number {
  return Math.min(backoffMs.first * 2 ** (failures - 1), backoffMs.most);
}

/** Of the client, where the connection string does not say. */
const keepAliveTimeoutMs = 10_000;
const longestTimerMs = 2_147_483_647;
/** Clients of one process at a time are fewer by far. */
const maxApart = 1_000;
let clients = 0;

/**
 * Channels of gRPC with equal settings share one connection, and a new one takes over that of a channel which was closed up
 * to ten seconds ago: a client in the place of another that was thrown away would ask on the same dead connection. So no two
 * clients have equal settings: they wait for the answer to a keep-alive a millisecond more or less.
 */
function withOwnConnection(url: string): string {
  const [address = '', query = ''] = url.trim().split('?');
  const isTimeout = (setting: string) => /^keep[_-]?alive[_-]?timeout=/i.test(setting);
  const settings = query.split('&').filter((setting) => setting !== '');
  const given = Number(settings.find(isTimeout)?.split('=')[1] ?? keepAliveTimeoutMs);
  // Below 0: never.
  const ownMs = (given < 0 ? longestTimerMs - maxApart : given) + (clients++ % maxApart);
  const others = settings.filter((setting) => !isTimeout(setting));
  return `${address.replace(/\/+$/, '')}?${[...others, `keepAliveTimeout=${ownMs}`].join('&')}`;
}

/** One client at a time, of the server that a connection string names. */
export class Connection {
  readonly #url: string;
  #client: EventStoreDBClient | null = null;
  #pending = new Set<(error: Error) => void>();
  #closed = false;
  /** Clients thrown away because the server kept silent. */
  renewals = 0;
  /** Told when a client was thrown away: what was open on it is dead, and nothing else says so. */
  onRenew: () => void = () => {};

  constructor(url: string) {
    this.#url = url;
  }

  /** The client, made when there is none. Throws LogUnavailableError once closed. */
  get client(): EventStoreDBClient {
    if (this.#closed) throw new LogUnavailableError(new Error('the log is closed'));
    if (this.#client) return this.#client;
    const client = EventStoreDBClient.connectionString(withOwnConnection(this.#url));
    const internals = client as unknown as ClientInternals;
    const handle = internals.handleError;
    // The client does not await this one: what it rejects with would end the process.
    internals.handleError = (grpcClient, error) => handle(grpcClient, error).catch(() => {});
    this.#client = client;
    return client;
  }

  /** Throws `client` away, unless that has happened; who waits for it is told. */
  renew(client: EventStoreDBClient, cause: Error): void {
    if (this.#client !== client) return;
    this.#client = null;
    this.renewals++;
    for (const reject of [...this.#pending]) reject(cause);
    dispose(client);
    this.onRenew();
  }

  /** Opens a duplex stream for appends. The client follows the leader by what it hears from the stream's end. */
  openAppends<T>(
    service: unknown,
    create: (client: StreamsClient, metadata: Metadata, options: CallOptions) => T,
  ): { readonly client: EventStoreDBClient; readonly opened: Promise<T> } {
    const { client } = this;
    const internals = client as unknown as ClientInternals;
    const [metadata, options] = internals.callArguments({ requiresLeader: true }, { deadline: Infinity });
    const open = internals.GRPCStreamCreator(service, 'append', (grpc) => create(grpc, metadata, options));
    return { client, opened: open() };
  }

  /**
   * Runs a call, again after trouble with the connection, for `timeoutMs` at most. Rejects with what `isAnswer` takes for an
   * answer of the server, else with LogUnavailableError.
   */
  async run<T>(timeoutMs: number, call: (client: EventStoreDBClient) => Promise<T>): Promise<T> {
    const until = performance.now() + timeoutMs;
    for (let failures = 1; ; failures++) {
      try {
        return await this.#attempt(until - performance.now(), call);
      } catch (error) {
        if (isAnswer(error)) throw error;
        const pauseMs = backoff(failures);
        if (this.#closed || performance.now() + pauseMs >= until) throw asUnavailable(error);
        await sleep(pauseMs);
      }
    }
  }

  #attempt<T>(timeoutMs: number, call: (client: EventStoreDBClient) => Promise<T>): Promise<T> {
    const { client } = this;
    return new Promise<T>((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer);
        this.#pending.delete(fail);
      };
      const fail = (error: Error) => {
        settle();
        reject(error);
      };
      const timer = setTimeout(() => {
        const cause = new Error(`no answer from EventStoreDB for ${Math.round(timeoutMs)} ms`);
        fail(cause);
        this.renew(client, cause);
      }, timeoutMs);
      this.#pending.add(fail);
      call(client).then((value) => {
        settle();
        resolve(value);
      }, fail);
    });
  }

  /** Reads a finite stream to its end. */
  collect<E>(timeoutMs: number, open: (client: EventStoreDBClient) => StreamingRead<E>): Promise<E[]> {
    return this.run(timeoutMs, (client) => all(open(client)));
  }

  close(): void {
    this.#closed = true;
    const client = this.#client;
    this.#client = null;
    for (const reject of [...this.#pending]) reject(new LogUnavailableError(new Error('the log is closed')));
    if (client) dispose(client);
  }
}

/** Everything of a finite stream. A read that was cancelled by the disposal of its client never ends: see `#pending`. */
function all<E>(read: StreamingRead<E>): Promise<E[]> {
  return new Promise((resolve, reject) => {
    const events: E[] = [];
    read.on('data', (event) => events.push(event));
    read.on('end', () => resolve(events));
    // It may fail more than once; the listener stays.
    read.on('error', (error) => {
      reject(error);
      read.cancel().catch(() => {});
    });
  });
}

function dispose(client: EventStoreDBClient): void {
  const { getChannel } = client as unknown as ClientInternals;
  client
    .dispose()
    .then(getChannel)
    .then((channel) => channel.close())
    .catch(() => {});
}

/** True for an error that says what is in the log; anything else says that nobody knows. */
export function isAnswer(error: unknown): boolean {
  return (
    isType(error, ErrorType.STREAM_NOT_FOUND) ||
    isType(error, ErrorType.STREAM_DELETED) ||
    (error as { code?: unknown }).code === INVALID_ARGUMENT
  );
}

/** True for a command error of that type. */
export function isType(error: unknown, type: ErrorType): boolean {
  return error instanceof Error && isCommandError(error) && (error as CommandError).type === type;
}

function asUnavailable(error: unknown): LogUnavailableError {
  return error instanceof LogUnavailableError ? error : new LogUnavailableError(error);
}
