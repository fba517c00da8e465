import type pg from 'pg';
import { dispatchesToErase, type ErasableDispatch } from '../../../projections/dispatches/queries.ts';
import { deletedThings, deletedWorkspaces, type Erasable } from '../../../projections/erasure.ts';
import { notificationsToErase } from '../../../projections/notifications/queries.ts';
import type { Queryable } from '../../../projections/projection.ts';
import { event } from '../../../schemas/index.ts';
import { type ErasedEvent, type ErasureCommands, maxErasedDispatches } from '../../commands/index.ts';
import { readCheckpoint } from '../../feed/checkpoint.ts';
import { type Clock, sleep } from '../../platform/clock.ts';
import { inTransaction } from '../../platform/postgres.ts';
import type { Reached } from '../reached.ts';
import { People } from './people.ts';

/** What the eraser needs. Times in milliseconds. */
export interface EraserOptions {
  readonly read: Queryable;
  readonly pool: pg.Pool;
  readonly erasures: ErasureCommands;
  readonly reached: Reached;
  /** The last position of the log. */
  readonly head: () => Promise<bigint>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Consumer group that erases the streams that events "erased" name. */
  readonly group: string;
  /**
   * How long a workspace is looked through for what was accepted on another node just as it was deleted, before it is
   * itself erased; and an account whose messages go with it.
   */
  readonly graceMs: number;
}

/** Any number, the same in every process: one erases at a time. */
const lockKey = 7_267_541;
/** Keys, connectors, templates, webhooks and notifications of one round, of each kind. */
const maxThings = 200;
const maxWorkspaces = 100;
/** One round at most; well below the time-out of its transaction. */
const roundMs = 10_000;
const lookMs = 50;

/**
 * Appends the events "erased" of what was deleted, in bounded steps. What is to do is told by the rows alone, so it goes on
 * after any crash; the streams themselves are erased by the consumer group that these events reach.
 */
export class Eraser {
  readonly #options: EraserOptions;
  readonly #people: People;
  /** Where the pass through each workspace's dispatches stands, and when it was first met (monotonic). */
  readonly #passes = new Map<number, { after: ErasableDispatch | null; readonly since: number }>();

  constructor(options: EraserOptions) {
    this.#options = options;
    this.#people = new People(options);
  }

  /**
   * Does some of what there is to do, unless another process is at it. `busy`: there is more to do now; `waiting`: there will
   * be, when a workspace's grace is over.
   */
  async round(): Promise<'idle' | 'waiting' | 'busy'> {
    return inTransaction(this.#options.pool, async (client) => {
      const { rows } = await client.query<{ mine: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS mine', [lockKey]);
      if (!rows[0]?.mine) return 'waiting';
      const until = this.#options.clock.monotonicMs() + roundMs;
      const things = await this.#things();
      const people = await this.#people.step();
      if (people === 'busy') await this.#settle();
      const workspaces = await this.#workspaces(until);
      if (things || people === 'busy') return 'busy';
      return people === 'waiting' ? 'waiting' : workspaces;
    });
  }

  /**
   * All dispatches of an erased workspace that are in the rows now: those that came after its erasure. For the group itself,
   * so it does not wait for the group.
   */
  async stragglersOf(workspace: number): Promise<void> {
    await this.#rowsCatchUp();
    for (let after: ErasableDispatch | null = null; ; ) {
      const last: ErasableDispatch | null = await this.#page(workspace, after);
      if (!last) return;
      after = last;
    }
  }

  /** True when there was something, and so may be more. */
  async #things(): Promise<boolean> {
    const { read, erasures } = this.#options;
    const things = await deletedThings(read, maxThings);
    const notifications = await notificationsToErase(read, maxThings);
    if (things.length + notifications.length === 0) return false;
    const erased = notifications.map((notification) => event('NotificationErased', notification));
    await erasures.append([...things.map(erasedThing), ...erased]);
    await this.#settle();
    return true;
  }

  async #workspaces(until: number): Promise<'idle' | 'waiting' | 'busy'> {
    const { read, clock, signal } = this.#options;
    const deleted = await deletedWorkspaces(read, maxWorkspaces);
    const known = new Set(deleted.map(({ workspace }) => workspace));
    for (const workspace of [...this.#passes.keys()]) if (!known.has(workspace)) this.#passes.delete(workspace);
    let open = deleted.map(({ workspace }) => workspace);
    let waiting = false;
    // A page of each in turn, so that a large one does not keep the small ones waiting.
    while (open.length > 0 && clock.monotonicMs() < until && !signal.aborted) {
      const next: number[] = [];
      for (const workspace of open) {
        if (clock.monotonicMs() >= until || signal.aborted) return 'busy';
        const outcome = await this.#step(workspace);
        if (outcome === 'more') next.push(workspace);
        else if (outcome === 'wait') waiting = true;
      }
      open = next;
    }
    if (open.length > 0) return 'busy';
    return waiting ? 'waiting' : 'idle';
  }

  /** One page of a workspace's dispatches, or, when there are no more, the workspace itself. */
  async #step(workspace: number): Promise<'more' | 'wait' | 'done'> {
    const { clock, erasures, graceMs } = this.#options;
    let pass = this.#passes.get(workspace);
    if (!pass) {
      pass = { after: null, since: clock.monotonicMs() };
      this.#passes.set(workspace, pass);
    }
    const first = pass.after === null;
    const last = await this.#page(workspace, pass.after);
    if (last) {
      pass.after = last;
      await this.#settle();
      return 'more';
    }
    if (!first) {
      // Through: once more from the beginning, with the rows as they are then.
      pass.after = null;
      await this.#rowsCatchUp();
      return 'more';
    }
    if (clock.monotonicMs() - pass.since < graceMs) return 'wait';
    if (await this.#hasMore(workspace)) return 'more';
    // A page of these in each round.
    if (await this.#people.hasMore(workspace)) return 'wait';
    const erased = await erasures.ofWorkspace(workspace);
    if (erased) await erasures.append([erased]);
    await this.#settle();
    this.#passes.delete(workspace);
    return 'done';
  }

  async #hasMore(workspace: number): Promise<boolean> {
    const { read } = this.#options;
    await this.#rowsCatchUp();
    if ((await dispatchesToErase(read, workspace, null, 1)).length > 0) return true;
    if ((await notificationsToErase(read, 1, workspace)).length > 0) return true;
    const things = await deletedThings(read, maxThings);
    return things.length >= maxThings || things.some((thing) => thing.workspace === workspace);
  }

  /** Appends the event "erased" of one page of dispatches; answers the page's last, null when there was none. */
  async #page(workspace: number, after: ErasableDispatch | null): Promise<ErasableDispatch | null> {
    const items = await dispatchesToErase(this.#options.read, workspace, after, maxErasedDispatches);
    if (items.length === 0) return null;
    await this.#options.erasures.append([event('DispatchesErased', { workspace, items })]);
    return items.at(-1) ?? null;
  }

  /** Waits until the group has erased what was just appended, so that other events do not queue up behind pages of it. */
  async #settle(): Promise<void> {
    const { pool, group, head, clock, signal } = this.#options;
    const until = clock.monotonicMs() + roundMs;
    const target = await head();
    while (clock.monotonicMs() < until && (await readCheckpoint(pool, group)) < target) await sleep(lookMs, signal);
  }

  async #rowsCatchUp(): Promise<void> {
    const { head, reached } = this.#options;
    await reached.until(await head());
  }
}

function erasedThing(thing: Erasable): ErasedEvent {
  const { workspace, id } = thing;
  switch (thing.kind) {
    case 'key':
      return event('KeyErased', { workspace, key: id });
    case 'connector':
      return event('ConnectorErased', { workspace, connector: id, connectorType: thing.connectorType });
    case 'template':
      return event('TemplateErased', { workspace, template: id, connectorType: thing.connectorType });
    case 'webhook':
      return event('WebhookErased', { workspace, webhook: id });
  }
}
