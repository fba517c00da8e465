/**
 * Appends, many in flight on one stream of the server's BatchAppend. Bounded by number and bytes; each has a timer of its
 * own. When one expires the client is thrown away and all that is in flight is asked again, with the same event ids, on
 * another; what is unsettled at the end of its time is `unknown`.
 *
 * The stream is opened here, on the client's channel and with its stubs, not by its `appendToStream`: that one keeps the
 * promises of all clients of a process in one table, which the first stream that dies empties for all of them (an answer
 * that comes later then throws out of an event handler), and lets the rejections of what it had queued go unhandled.
 */
import { randomUUID } from 'node:crypto';
import { convertToCommandError, ErrorType, type EventStoreDBClient } from '@eventstore/db-client';
import grpcStubs from '@eventstore/db-client/generated/streams_grpc_pb.js';
import type { BatchAppendReq, BatchAppendResp } from '@eventstore/db-client/generated/streams_pb.js';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { backoff, type Connection, isType } from './eventstoredb-connection.ts';
import type { ProposedEvent } from './eventstoredb-records.ts';
import { appendBytes } from './eventstoredb-records.ts';
import { readAnswer, request, type ServerAnswer } from './eventstoredb-wire.ts';

/** How one append to one stream ended. */
export type AppendAnswer =
  | Exclude<ServerAnswer, { is: 'trouble' }>
  /** Not known to be stored. */
  | { readonly is: 'unknown'; readonly reason: string };

/** Limits of what is in flight, and of what waits for it. Times in milliseconds. */
export interface AppenderOptions {
  /** An append without an answer for this long is asked again on a new client; after twice as long it is `unknown`. */
  readonly timeoutMs: number;
  readonly maxInFlight: number;
  readonly maxInFlightBytes: number;
  readonly maxWaiting: number;
  readonly maxWaitingBytes: number;
  /** Told of every answer before anybody else is. */
  readonly onAnswer?: ((answer: AnswerReport) => void) | undefined;
}

/** One append that the server answered: of a claim, a fence, or the events of a commit. */
export interface AnswerReport {
  /** The stream's name on the server. */
  readonly stream: string;
  readonly is: ServerAnswer['is'];
  /** Milliseconds since it was sent. */
  readonly durationMs: number;
}

interface Entry {
  /** Of the request, and of its answer. */
  readonly id: string;
  readonly stream: string;
  readonly events: readonly ProposedEvent[];
  readonly expected: number | 'any';
  readonly bytes: number;
  readonly askedAt: number;
  sentAt: number;
  /** Ends the time that it has to be settled in; while it is in flight, also the time for one answer. */
  timer: NodeJS.Timeout | undefined;
  readonly settle: (answer: AppendAnswer) => void;
}

type AppendStream = ClientDuplexStream<BatchAppendReq, BatchAppendResp>;

/** Appends to streams of the server. */
export class Appender {
  readonly #connection: Connection;
  readonly #options: AppenderOptions;
  #queue: Entry[] = [];
  readonly #inFlight = new Map<string, Entry>();
  #inFlightBytes = 0;
  #waitingBytes = 0;
  #stream: AppendStream | null = null;
  #client: EventStoreDBClient | null = null;
  #opening = false;
  #blocked = false;
  #failures = 0;
  #retryTimer: NodeJS.Timeout | undefined;
  #trouble = '';

  constructor(connection: Connection, options: AppenderOptions) {
    this.#connection = connection;
    this.#options = options;
  }

  /** Appends waiting to be sent. */
  get waiting(): number {
    return this.#queue.length;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  get inFlightBytes(): number {
    return this.#inFlightBytes;
  }

  /** Appends events to a stream that stands at `expected`. Never rejects. */
  append(stream: string, events: readonly ProposedEvent[], expected: number | 'any'): Promise<AppendAnswer> {
    let bytes = 0;
    for (const event of events) bytes += appendBytes(event);
    const { maxWaiting, maxWaitingBytes, timeoutMs } = this.#options;
    if (this.#queue.length >= maxWaiting || this.#waitingBytes + bytes > maxWaitingBytes)
      return Promise.resolve({ is: 'unknown', reason: 'too many commits are waiting' });
    return new Promise((settle) => {
      const askedAt = performance.now();
      const entry: Entry = {
        id: randomUUID(),
        stream,
        events,
        expected,
        bytes,
        askedAt,
        sentAt: 0,
        timer: undefined,
        settle,
      };
      entry.timer = setTimeout(() => this.#expire(entry), 2 * timeoutMs);
      this.#queue.push(entry);
      this.#waitingBytes += bytes;
      this.#pump();
    });
  }

  /** Sends what may be sent. */
  #pump(): void {
    if (this.#queue.length === 0 || this.#blocked || this.#retryTimer) return;
    if (!this.#stream) {
      this.#open();
      return;
    }
    const { maxInFlight, maxInFlightBytes, timeoutMs } = this.#options;
    let sent = 0;
    for (const entry of this.#queue) {
      if (this.#blocked || this.#inFlight.size >= maxInFlight) break;
      if (this.#inFlight.size > 0 && this.#inFlightBytes + entry.bytes > maxInFlightBytes) break;
      sent++;
      this.#inFlight.set(entry.id, entry);
      this.#inFlightBytes += entry.bytes;
      this.#waitingBytes -= entry.bytes;
      entry.sentAt = performance.now();
      const leftMs = entry.askedAt + 2 * timeoutMs - entry.sentAt;
      clearTimeout(entry.timer);
      entry.timer = setTimeout(() => this.#expire(entry), Math.max(Math.min(timeoutMs, leftMs), 0));
      this.#blocked = !this.#stream.write(request(entry, timeoutMs));
    }
    if (sent > 0) this.#queue.splice(0, sent);
  }

  #open(): void {
    if (this.#opening) return;
    this.#opening = true;
    let opened: Promise<AppendStream>;
    try {
      const opening = this.#connection.openAppends(grpcStubs.StreamsClient, (grpc, metadata, options) =>
        grpc.batchAppend(metadata, options),
      );
      this.#client = opening.client;
      opened = opening.opened;
    } catch (error) {
      this.#opening = false;
      this.#fail(error);
      return;
    }
    opened.then(
      (stream) => {
        this.#opening = false;
        this.#use(stream);
      },
      (error: unknown) => {
        this.#opening = false;
        this.#fail(error);
      },
    );
  }

  #use(stream: AppendStream): void {
    this.#stream = stream;
    this.#blocked = false;
    const gone = (error: unknown) => {
      if (this.#stream !== stream) return;
      this.#stream = null;
      this.#fail(error);
    };
    stream.on('data', (response) => {
      if (this.#stream === stream) this.#answer(readAnswer(response));
    });
    stream.on('drain', () => {
      if (this.#stream !== stream) return;
      this.#blocked = false;
      this.#pump();
    });
    stream.on('error', (error) => gone(convertToCommandError(error)));
    // Also without an error: what was in flight on it will not be answered.
    stream.on('end', () => gone(new Error('the stream of appends was ended')));
    stream.on('close', () => gone(new Error('the stream of appends was closed')));
    this.#pump();
  }

  #answer({ id, answer }: { id: string; answer: ServerAnswer }): void {
    const entry = this.#inFlight.get(id);
    if (!entry) return;
    this.#options.onAnswer?.({
      stream: entry.stream,
      is: answer.is,
      durationMs: performance.now() - entry.sentAt,
    });
    if (answer.is === 'trouble') {
      // Told about this one alone (busy, timed out on the server): it waits its turn again.
      this.#trouble = answer.reason;
      this.#takeBack([entry]);
      this.#pause();
      return;
    }
    this.#failures = 0;
    this.#remove(entry);
    entry.settle(answer);
    this.#pump();
  }

  /** The stream is gone. What was in flight is asked again, in its order, before what waits. */
  #fail(error: unknown): void {
    this.#trouble = error instanceof Error ? error.message : String(error);
    this.#takeBack([...this.#inFlight.values()]);
    this.#blocked = false;
    // The client has heard, or is about to hear, where the leader is: there is nothing to wait for.
    this.#pause(this.#failures === 0 && isType(error, ErrorType.NOT_LEADER) ? 1 : undefined);
  }

  /** Nothing is sent for a while: longer from failure to failure, if nothing else is said. */
  #pause(pauseMs = backoff(this.#failures + 1)): void {
    if (this.#retryTimer) return;
    this.#failures++;
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined;
      this.#pump();
    }, pauseMs);
  }

  #takeBack(entries: readonly Entry[]): void {
    for (const entry of entries) {
      this.#inFlight.delete(entry.id);
      this.#inFlightBytes -= entry.bytes;
      this.#waitingBytes += entry.bytes;
      clearTimeout(entry.timer);
      const leftMs = entry.askedAt + 2 * this.#options.timeoutMs - performance.now();
      entry.timer = setTimeout(() => this.#expire(entry), Math.max(leftMs, 0));
    }
    this.#queue = [...entries, ...this.#queue];
  }

  /** No answer in time. */
  #expire(entry: Entry): void {
    const inFlight = this.#inFlight.has(entry.id);
    if (performance.now() - entry.askedAt >= 2 * this.#options.timeoutMs - 1) {
      this.#remove(entry);
      entry.settle({ is: 'unknown', reason: this.#trouble || 'no answer from EventStoreDB' });
    }
    if (!inFlight) return;
    // The server is silent: neither its stream nor its connection is trusted again.
    const stream = this.#stream;
    this.#stream = null;
    const silent = new Error(`no answer from EventStoreDB for ${this.#options.timeoutMs} ms`);
    stream?.cancel();
    if (this.#client) this.#connection.renew(this.#client, silent);
    this.#trouble = silent.message;
    this.#takeBack([...this.#inFlight.values()]);
    this.#blocked = false;
    this.#pump();
  }

  #remove(entry: Entry): void {
    clearTimeout(entry.timer);
    if (this.#inFlight.delete(entry.id)) {
      this.#inFlightBytes -= entry.bytes;
      return;
    }
    const at = this.#queue.indexOf(entry);
    if (at < 0) return;
    this.#queue.splice(at, 1);
    this.#waitingBytes -= entry.bytes;
  }

  close(): void {
    clearTimeout(this.#retryTimer);
    const stream = this.#stream;
    this.#stream = null;
    stream?.cancel();
    for (const entry of [...this.#inFlight.values(), ...this.#queue]) {
      this.#remove(entry);
      entry.settle({ is: 'unknown', reason: 'closed' });
    }
  }
}
