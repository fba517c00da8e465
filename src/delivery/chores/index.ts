/**
 * Chores: erasing what was deleted, sweeping up receipts that nobody came for, and writing down which rooms have become
 * inactive. Consumer group `erasing` and tasks beside it; all act through commands.
 *
 * Erasing goes in two steps (design section 4). First the event "erased" is appended, to a stream that stays, by the task
 * (`eraser.ts`): what is to do is told by the rows alone, in bounded steps. Then the group, which reads these events like
 * any others, has the streams erased that they name, and moves its checkpoint after that. A crash between any two
 * instructions repeats a step, and each is idempotent: an event "erased" is found to stand there, a stream to be erased.
 *
 * Bounds: a deleted key, connector, template, webhook, account or device, and a message that was deleted for everyone, is
 * erased within seconds. A deleted room, and an account that was deleted with all that it said, after their messages: 500 in
 * about a second; such an account after its grace as well. A deleted workspace, with everything in it, is
 * erased after its grace (30 s, for what was accepted on another node just then) and the time for its dispatches: 200 at
 * once, each of which waits until no process serves it from memory; some hundreds a second, a hundred thousand in
 * some minutes. Dispatches that were accepted so late that they miss even that are erased when the group meets them. A held
 * receipt is erased a day after it came in, by the log's time. An image that was replaced, or whose account was deleted, is
 * erased within seconds, one that was stored and never got its event within about an hour. Nothing is erased whose workspace, or which itself, was
 * not deleted.
 *
 * While storage is away nothing moves; afterwards it goes on from the checkpoint and the rows.
 */
import type pg from 'pg';
import type { Queryable } from '../../../projections/projection.ts';
import { type DomainEvent, event, type RecordedEvent } from '../../../schemas/index.ts';
import {
  type ErasedEvent,
  type ErasureCommands,
  erasedMessageOf,
  erasedStreams,
  messagesErased,
} from '../../commands/index.ts';
import { readCheckpoint, withCheckpoint } from '../../feed/checkpoint.ts';
import type { ConsumerLogger, Feed, FeedBatch } from '../../feed/feed.ts';
import { type Clock, sleep } from '../../platform/clock.ts';
import { type Projected, Reached } from '../reached.ts';
import { Eraser } from './eraser.ts';
import { FileSweep } from './file-sweep.ts';
import { HeldReceiptSweep } from './held-receipt-sweep.ts';
import { RoomSweep, type RoomSweepOptions } from './room-sweep.ts';

/** What chores need. Times in milliseconds. */
export interface ChoresOptions {
  readonly feed: Feed;
  readonly read: Queryable;
  /** Consumers' connections: under a transaction time-out. */
  readonly pool: pg.Pool;
  readonly projected: Projected;
  /** The last position of the log. */
  readonly head: () => Promise<bigint>;
  /** Erases one stream in the log. Idempotent. */
  readonly erase: (streams: readonly string[]) => Promise<void>;
  readonly erasures: ErasureCommands;
  readonly clock: Clock;
  readonly logger: ConsumerLogger;
  /** See `EraserOptions.graceMs`; 30,000 unless told. */
  readonly graceMs?: number;
  /** How often it is looked for work that no event told of; 10,000 unless told. */
  readonly lookMs?: number;
  /** For the sweep of inactive rooms; without it there is none. */
  readonly rooms?: Pick<RoomSweepOptions, 'rooms' | 'inactiveAfterMs' | 'sweepMs'>;
}

const group = 'erasing';
/** Wait of a batch that is not full: nobody waits for it, and a larger one costs less. */
const gatherMs = 200;
/** Between rounds that left work for later. */
const waitingMs = 1_000;

/** Runs the chores until they are stopped. */
export function startChores(options: ChoresOptions): { readonly done: Promise<void>; stop(): Promise<void> } {
  const chores = new Chores(options);
  return { done: chores.start(), stop: () => chores.stop() };
}

class Chores {
  readonly #options: ChoresOptions;
  readonly #abort = new AbortController();
  readonly #reached: Reached;
  readonly #eraser: Eraser;
  readonly #sweep: HeldReceiptSweep;
  readonly #files: FileSweep;
  readonly #rooms: RoomSweep | null;
  #wake: () => void = () => {};
  #done: Promise<void> = Promise.resolve();
  #working: Promise<void> = Promise.resolve();

  constructor(options: ChoresOptions) {
    this.#options = options;
    const { signal } = this.#abort;
    this.#reached = new Reached(options.projected);
    this.#eraser = new Eraser({
      ...options,
      reached: this.#reached,
      signal,
      group,
      graceMs: options.graceMs ?? 30_000,
    });
    this.#sweep = new HeldReceiptSweep(options.pool, this.#reached, options.erase);
    this.#files = new FileSweep(options.pool, options.erasures);
    this.#rooms = options.rooms ? new RoomSweep({ ...options, ...options.rooms }) : null;
  }

  start(): Promise<void> {
    const { feed, pool } = this.#options;
    this.#working = this.#work();
    this.#rooms?.start();
    this.#done = feed.consume(
      {
        group,
        maxBatchEvents: 2_000,
        start: (partition) => readCheckpoint(pool, group, partition),
        handle: (batch) => this.#handle(batch),
        gather: () => sleep(gatherMs, this.#abort.signal).catch(() => {}),
      },
      this.#abort.signal,
    );
    this.#done.catch(() => {});
    return this.#done;
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error('stopped'));
    this.#reached.stop();
    this.#wake();
    await Promise.all([this.#working, this.#rooms?.stop()]);
    await this.#done.catch(() => {});
  }

  /**
   * What is erased is erased before the checkpoint moves, and outside its transaction: that may take longer than a
   * transaction should, and may be done twice.
   */
  async #handle(batch: FeedBatch): Promise<bigint> {
    const { pool } = this.#options;
    if (batch.events.some(({ type }) => type === 'KeyRevoked' || type.endsWith('Deleted'))) this.#wake();
    await this.#eraseNamed(batch.events);
    await this.#eraseLate(batch.events);
    return withCheckpoint(
      pool,
      group,
      batch,
      async (client, events) => {
        await this.#sweep.note(client, events);
        await this.#files.note(client, events);
      },
      // Everything above may be done again.
      { durable: false },
    );
  }

  async #eraseNamed(events: readonly RecordedEvent[]): Promise<void> {
    const { erase, erasures } = this.#options;
    const streams = events.flatMap(erasedStreams);
    if (streams.length === 0) return;
    await erase(streams);
    for (const stream of streams) erasures.forget(stream);
    // Between the last look through its dispatches and this event one may have come in.
    for (const { type, data } of events)
      if (type === 'WorkspaceErased') await this.#eraser.stragglersOf(data.workspace);
  }

  /** What was made in a workspace, or said in a room, after its deletion, by a node that did not know of it yet. */
  async #eraseLate(events: readonly RecordedEvent[]): Promise<void> {
    const { erasures } = this.#options;
    const standings = new Map<number, 'lives' | 'deleted' | 'erased'>();
    const late: ErasedEvent[] = [];
    const lateDispatches = new Set<number>();
    const lateMessages: ReturnType<typeof lateMessage>[] = [];
    const rooms = new Map<string, boolean>();
    const gone = async ({ data }: RecordedEvent<DomainEvent<'MessagePosted'>>): Promise<boolean> => {
      const room = `${data.workspace}/${data.room}`;
      const known = rooms.get(room) ?? (await erasures.roomIsGone(data.workspace, data.room));
      rooms.set(room, known);
      return known;
    };
    for (const happened of events) {
      const made = madeIn(happened);
      if (made === null) continue;
      let standing = standings.get(made);
      if (!standing) {
        standing = await erasures.standingOf(made);
        standings.set(made, standing);
      }
      if (standing === 'lives') {
        if (happened.type === 'MessagePosted' && (await gone(happened))) lateMessages.push(lateMessage(happened));
        continue;
      }
      if (happened.type === 'MessagePosted') {
        if (standing === 'erased') lateMessages.push(lateMessage(happened));
        continue;
      }
      if (happened.type !== 'DispatchAccepted') late.push(...erasedEventOf(happened));
      // Of a workspace that is not erased yet the eraser finds it in the rows.
      else if (standing === 'erased') lateDispatches.add(made);
    }
    await erasures.append([...late, ...messagesErased(lateMessages)]);
    for (const workspace of lateDispatches) await this.#eraser.stragglersOf(workspace);
  }

  async #work(): Promise<void> {
    const { logger, lookMs = 10_000 } = this.#options;
    const { signal } = this.#abort;
    while (!signal.aborted) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      let waitMs = lookMs;
      try {
        const outcome = await this.#eraser.round();
        if (outcome !== 'idle') waitMs = outcome === 'busy' ? 0 : waitingMs;
        await this.#sweep.round();
        await this.#files.round();
      } catch (error) {
        if (signal.aborted) return;
        logger.warn({ err: error }, 'erasing met trouble and goes on');
        waitMs = waitingMs;
      }
      if (waitMs > 0) await Promise.race([woken, sleep(waitMs, signal).catch(() => {})]);
      // A deletion is in the rows before it is looked for: one that woke us a moment ago may not be yet.
      if (!signal.aborted) await this.#rowsCatchUp();
    }
  }

  async #rowsCatchUp(): Promise<void> {
    try {
      await this.#reached.until(await this.#options.head());
    } catch {
      // The next round tells.
    }
  }
}

/** The workspace that an event makes something in; null for others. */
function madeIn({ type, data }: RecordedEvent): number | null {
  switch (type) {
    case 'KeyIssued':
    case 'ConnectorCreated':
    case 'TemplateCreated':
    case 'WebhookCreated':
    case 'DispatchAccepted':
    case 'NotificationAccepted':
    case 'AccountOpened':
    case 'DeviceRegistered':
    case 'RoomCreated':
    case 'MessagePosted':
      return data.workspace;
    default:
      return null;
  }
}

function lateMessage({ data, at }: RecordedEvent<DomainEvent<'MessagePosted'>>) {
  return { workspace: data.workspace, room: data.room, item: erasedMessageOf(data, at) };
}

function erasedEventOf(happened: RecordedEvent): ErasedEvent[] {
  const { type, data, at } = happened;
  switch (type) {
    case 'AccountOpened': {
      const { workspace, account, kind } = data;
      return [event('AccountErased', { workspace, account, kind, openedAt: at, messages: 'erase', devices: [] })];
    }
    case 'DeviceRegistered': {
      const { workspace, device, account } = data;
      return [event('DeviceErased', { workspace, device, account })];
    }
    case 'RoomCreated': {
      const { workspace, room, kind } = data;
      return [event('RoomErased', { workspace, room, kind, createdAt: at })];
    }
    case 'KeyIssued':
      return [event('KeyErased', { workspace: data.workspace, key: data.key })];
    case 'ConnectorCreated': {
      const { workspace, connector, connectorType } = data;
      return [event('ConnectorErased', { workspace, connector, connectorType })];
    }
    case 'TemplateCreated': {
      const { workspace, template, connectorType } = data;
      return [event('TemplateErased', { workspace, template, connectorType })];
    }
    case 'NotificationAccepted': {
      const { workspace, notification, room, type: channel, priority } = data;
      const ref = { workspace, notification, room, type: channel, priority };
      return [event('NotificationErased', { ...ref, status: 'pending', fallback: null, createdAt: at })];
    }
    case 'WebhookCreated':
      return [event('WebhookErased', { workspace: data.workspace, webhook: data.webhook })];
    default:
      return [];
  }
}
