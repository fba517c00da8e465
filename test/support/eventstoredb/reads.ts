/**
 * The stand-in's Read call: streams and `$all`, both ways, and subscriptions with filters, checkpoints and the messages that
 * tell whether they are live (EventStore/EventStore, `Enumerator.*` and `AllReader`).
 */
import { randomUUID } from 'node:crypto';
import type { EventEmitter } from 'node:events';
import type { IStreamsServer } from '@eventstore/db-client/generated/streams_grpc_pb.js';
import streams from '@eventstore/db-client/generated/streams_pb.js';
import type { ReadFate } from './faults.ts';
import type { StoredEvent } from './log-file.ts';
import type { Store } from './store.ts';
import {
  failure,
  identifier,
  invalidPositionError,
  nameOf,
  type RpcError,
  readEvent,
  streamDeletedError,
} from './wire.ts';
import type { Context } from './writes.ts';

/** What tests tell to all open subscriptions at once. */
export type Signals = EventEmitter<{ endSubscriptions: []; fallBehind: [] }>;

export interface ReadContext extends Context {
  readonly signals: Signals;
}

type Call = Parameters<IStreamsServer['read']>[0];
type Options = InstanceType<typeof streams.ReadReq.Options>;
type Response = InstanceType<typeof streams.ReadResp>;

/** The server's page, and its buffer of live events, in events. */
const pageEvents = 32;

/** A call's answers, with backpressure, and the end that its fate sets. */
class Answers {
  readonly #call: Call;
  readonly #resolve: ((event: StoredEvent) => Response) | null;
  #left: number;
  /** Whether the reader did not keep up lately. */
  slow = false;
  over = false;

  constructor(call: Call, fate: ReadFate, resolve: ((event: StoredEvent) => Response) | null) {
    this.#call = call;
    this.#left = fate.endAfterEvents;
    this.#resolve = resolve;
    call.on('cancelled', () => {
      this.over = true;
    });
  }

  async send(response: Response): Promise<void> {
    if (this.over || this.#call.write(response)) return;
    this.slow = true;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#call.off('drain', done);
        this.#call.off('cancelled', done);
        resolve();
      };
      this.#call.once('drain', done);
      this.#call.once('cancelled', done);
    });
  }

  async event(event: StoredEvent): Promise<void> {
    if (this.#left === 0) return this.end();
    this.#left -= 1;
    await this.send(this.#resolve ? this.#resolve(event) : readEvent(event));
    if (this.#left === 0) this.end();
  }

  end(): void {
    if (!this.over) this.#call.end();
    this.over = true;
  }

  fail(error: RpcError): void {
    if (!this.over) this.#call.emit('error', error);
    this.over = true;
  }
}

/** A link as readers get it who asked for what it leads to. */
function resolver(store: Store): (event: StoredEvent) => Response {
  return (event) => {
    if (event.type !== '$>') return readEvent(event);
    const [, revision, stream = ''] = /^(\d+)@(.*)$/s.exec(Buffer.from(event.data).toString()) ?? [];
    const target = store.eventsOf(stream).find((each) => each.revision === Number(revision));
    return readEvent(target ?? null, event);
  };
}

/** The position or the end from which a read of `$all` goes: the first that it may see, or what comes before it backwards. */
function allPosition(options: Options): { readonly at: number; readonly prepare: number } | 'start' | 'end' {
  const all = options.getAll();
  const position = all?.getPosition();
  if (position) return { at: Number(position.getCommitPosition()), prepare: Number(position.getPreparePosition()) };
  return all?.hasEnd() ? 'end' : 'start';
}

async function readAll({ store }: ReadContext, options: Options, answers: Answers): Promise<void> {
  const backwards = options.getReadDirection() === streams.ReadReq.Options.ReadDirection.BACKWARDS;
  const from = allPosition(options);
  if (typeof from === 'object' && !store.isReadable(from.at)) return answers.fail(invalidPositionError());
  let at = from === 'start' ? 0 : from === 'end' ? store.end : from.at;
  // A prepare position behind the commit position shuts the record itself out.
  if (!backwards && typeof from === 'object' && from.prepare > from.at) at += 1;
  const end = store.end;
  for (let left = Number(options.getCount()); left > 0 && !answers.over; ) {
    const limit = Math.min(left, pageEvents);
    const page = backwards
      ? store.allBefore(at, limit)
      : store.allFrom(at, limit).filter((each) => each.position < end);
    for (const event of page) await answers.event(event);
    if (page.length < limit) break;
    left -= page.length;
    at = page.at(-1)!.position + (backwards ? 0 : 1);
  }
  answers.end();
}

async function readStream({ store }: ReadContext, options: Options, answers: Answers): Promise<void> {
  const stream = nameOf(options.getStream()?.getStreamIdentifier());
  const state = store.stateOf(stream);
  if (state === 'deleted') return answers.fail(streamDeletedError(stream));
  if (state === 'missing') {
    const missing = new streams.ReadResp.StreamNotFound().setStreamIdentifier(identifier(stream));
    await answers.send(new streams.ReadResp().setStreamNotFound(missing));
    return answers.end();
  }
  const from = options.getStream()!;
  const backwards = options.getReadDirection() === streams.ReadReq.Options.ReadDirection.BACKWARDS;
  const first = from.hasEnd() ? Number.POSITIVE_INFINITY : from.hasStart() ? 0 : Number(from.getRevision());
  const count = Number(options.getCount());
  const events = store.eventsOf(stream);
  const wanted = backwards
    ? events.filter(({ revision }) => revision <= first).reverse()
    : events.filter(({ revision }) => revision >= first);
  for (const event of wanted.slice(0, count)) {
    if (answers.over) return;
    await answers.event(event);
  }
  answers.end();
}

/** Where a subscription takes its events from; `take` goes forward. */
interface Source {
  take(limit: number): { readonly events: readonly StoredEvent[]; readonly behind: boolean };
}

function allSource(store: Store, first: number): Source {
  let next = first;
  return {
    take(limit) {
      const events = store.allFrom(next, limit);
      if (events.length > 0) next = events.at(-1)!.position + 1;
      return { events, behind: store.allFrom(next, 1).length > 0 };
    },
  };
}

function streamSource(store: Store, stream: string, first: number): Source {
  let next = first;
  return {
    take(limit) {
      const rest = store.eventsOf(stream).filter(({ revision }) => revision >= next);
      const events = rest.slice(0, limit);
      if (events.length > 0) next = events.at(-1)!.revision + 1;
      return { events, behind: rest.length > limit };
    },
  };
}

/**
 * The first position that a subscription to `$all` may deliver. As in the real server, the one event that stands at the
 * position or next behind it is taken as seen: where the position's own event was scavenged, that is one too many.
 */
function firstOfAll({ store, faults }: ReadContext, options: Options): number | null {
  const from = allPosition(options);
  if (from === 'end') return store.end;
  if (from === 'start' || from.at === 0) return 0;
  if (!store.isReadable(from.at)) return null;
  const [event] = store.allFrom(from.at, 1);
  if (faults.current.resumeAtRemoved === 'exact') return from.at + 1;
  return event ? event.position + 1 : from.at;
}

interface Filter {
  readonly allows: (event: StoredEvent) => boolean;
  /** How many events a page considers, and after how many a checkpoint is told. */
  readonly window: number;
  readonly interval: number;
}

function filterOf(options: Options): Filter | null {
  const filter = options.getFilter();
  if (!filter) return null;
  const onType = filter.getEventType();
  const expression = onType ?? filter.getStreamIdentifier();
  const regex = expression?.getRegex() ? new RegExp(expression.getRegex()) : null;
  const prefixes = expression?.getPrefixList() ?? [];
  const window = filter.hasMax() ? filter.getMax() : pageEvents;
  return {
    allows: (event) => {
      const text = onType ? event.type : event.stream;
      return regex ? regex.test(text) : prefixes.some((prefix) => text.startsWith(prefix));
    },
    window,
    interval: window * Math.max(1, filter.getCheckpointintervalmultiplier()),
  };
}

function checkpoint(position: number): Response {
  const at = String(position);
  const message = new streams.ReadResp.Checkpoint().setCommitPosition(at).setPreparePosition(at);
  return new streams.ReadResp().setCheckpoint(message);
}

const caughtUp = new streams.ReadResp().setCaughtUp(new streams.ReadResp.CaughtUp());
const fellBehind = new streams.ReadResp().setFellBehind(new streams.ReadResp.FellBehind());

/** Waits for something to do: a write, a signal, or the end of the call. */
function something({ store, signals }: ReadContext, call: Call): Promise<'fallBehind' | null> {
  return new Promise((resolve) => {
    const done = (what: 'fallBehind' | null): void => {
      store.off('written', wake);
      signals.off('endSubscriptions', wake);
      signals.off('fallBehind', fall);
      call.off('cancelled', wake);
      resolve(what);
    };
    const wake = (): void => done(null);
    const fall = (): void => done('fallBehind');
    store.once('written', wake);
    signals.once('endSubscriptions', wake);
    signals.once('fallBehind', fall);
    call.once('cancelled', wake);
  });
}

async function pump(
  context: ReadContext,
  call: Call,
  answers: Answers,
  source: Source,
  filter: Filter | null,
): Promise<void> {
  let live = false;
  let considered = 0;
  while (!answers.over) {
    const { events, behind } = source.take(filter && !live ? filter.window : pageEvents);
    if (live && behind && answers.slow) {
      live = false;
      await answers.send(fellBehind);
    }
    let sent: number | null = null;
    for (const event of events) {
      if (answers.over) return;
      considered += 1;
      if (!filter || filter.allows(event)) {
        await answers.event(event);
        sent = event.position;
      }
      if (live && filter && considered >= filter.interval) {
        considered = 0;
        await answers.send(checkpoint(event.position));
      }
    }
    if (behind && !live && filter && considered >= filter.interval) {
      considered %= filter.interval;
      await answers.send(checkpoint(sent ?? events[0]!.position));
    }
    if (behind) continue;
    if (!live) {
      live = true;
      answers.slow = false;
      await answers.send(caughtUp);
    } else if (events.length === 0 && (await something(context, call)) === 'fallBehind') {
      live = false;
      await answers.send(fellBehind);
    }
  }
}

async function subscribe(context: ReadContext, call: Call, options: Options, answers: Answers): Promise<void> {
  const { store, signals } = context;
  const stream = options.hasStream() ? nameOf(options.getStream()?.getStreamIdentifier()) : null;
  let source: Source;
  if (stream !== null) {
    if (store.stateOf(stream) === 'deleted') return answers.fail(streamDeletedError(stream));
    const from = options.getStream()!;
    const last = store.eventsOf(stream).at(-1)?.revision ?? -1;
    const first = from.hasEnd() ? last + 1 : from.hasStart() ? 0 : Number(from.getRevision()) + 1;
    source = streamSource(store, stream, first);
  } else {
    const first = firstOfAll(context, options);
    if (first === null) return answers.fail(invalidPositionError());
    source = allSource(store, first);
  }
  const end = (): void => answers.end();
  const deleted = (): void => {
    if (stream !== null && store.stateOf(stream) === 'deleted') answers.fail(streamDeletedError(stream));
  };
  signals.on('endSubscriptions', end);
  store.on('written', deleted);
  context.counters.subscriptions += 1;
  try {
    const confirmation = new streams.ReadResp.SubscriptionConfirmation().setSubscriptionId(randomUUID());
    await answers.send(new streams.ReadResp().setConfirmation(confirmation));
    await pump(context, call, answers, source, filterOf(options));
  } finally {
    context.counters.subscriptions -= 1;
    signals.off('endSubscriptions', end);
    store.off('written', deleted);
  }
}

/** The reading half of the Streams service. */
export function readCalls(context: ReadContext): Pick<IStreamsServer, 'read'> {
  return {
    read: (call) => {
      const options = call.request.getOptions() ?? new streams.ReadReq.Options();
      const name = options.hasStream() ? nameOf(options.getStream()?.getStreamIdentifier()) : '$all';
      const fate = context.faults.forRead(name);
      const answers = new Answers(call, fate, options.getResolveLinks() ? resolver(context.store) : null);
      context.counters.reads += 1;
      if (fate.error) return answers.fail(failure(fate.error, context.self));
      if (fate.endAfterEvents === 0) return answers.end();
      if (options.hasSubscription()) void subscribe(context, call, options, answers);
      else if (options.hasStream()) void readStream(context, options, answers);
      else void readAll(context, options, answers);
    },
  };
}
