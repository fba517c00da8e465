import type { RecordedEvent } from '../../../schemas/index.ts';
import { firstAfter, type History } from '../../feed/feed.ts';
import { sleep } from '../../platform/clock.ts';
import type { Reached } from '../reached.ts';
import type { WebhookDialect } from './dialect.ts';
import { type Ripe, ripen, workspaceOf } from './ripe.ts';

/** Who wants events that are not in memory any more. */
export interface ScanTaker {
  readonly workspace: number;
  /** The position after which it wants them. */
  readonly taken: bigint;
  /** How many it has room for. */
  readonly space: number;
  /** Given everything of its workspace after `taken` up to `upTo`. Called once per `want`. */
  offer(events: readonly Ripe[], upTo: bigint): void;
}

/** What the scanner needs. */
export interface ScannerOptions {
  readonly history: History;
  readonly dialect: WebhookDialect;
  readonly reached: Pick<Reached, 'until'>;
  readonly signal: AbortSignal;
  readonly onTrouble: (error: unknown) => void;
}

const pageEvents = 1_000;
const backoffMs = 1_000;
const atHeadMs = 20;

/**
 * Reads the log again for those who are behind: one page at a time, from the one who is furthest behind, for everybody whom
 * the page can serve. Who wants the next page asks again.
 */
export class Scanner {
  readonly #options: ScannerOptions;
  readonly #takers = new Set<ScanTaker>();
  #running: Promise<void> | null = null;

  constructor(options: ScannerOptions) {
    this.#options = options;
  }

  want(taker: ScanTaker): void {
    this.#takers.add(taker);
    this.#running ??= this.#run();
  }

  /** Resolves when nothing is being read any more; after the signal. */
  async stopped(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal, onTrouble } = this.#options;
    // What else comes in this turn of the event loop may share the page.
    await Promise.resolve();
    while (this.#takers.size > 0 && !signal.aborted) {
      try {
        await this.#page();
      } catch (error) {
        if (signal.aborted) break;
        onTrouble(error);
        await sleep(backoffMs, signal).catch(() => {});
      }
    }
    // In the same turn: who comes in right after this look would wait for ever.
    this.#running = null;
  }

  async #page(): Promise<void> {
    const { history, dialect, reached } = this.#options;
    let from: bigint | null = null;
    for (const { taken } of this.#takers) if (from === null || taken < from) from = taken;
    if (from === null) return;
    const { events, position } = await history.page(from, pageEvents);
    // Who came in meanwhile may want what stands before this page.
    const served = [...this.#takers].filter(({ taken }) => taken >= from && (taken < position || position === from));
    // Whoever is at the head and has nothing in memory yet will have in a moment.
    if (position === from) await sleep(atHeadMs, this.#options.signal);
    const { told, ends } = worthRendering(events, served, dialect);
    const ripe = Map.groupBy(await ripen(dialect, told, reached), ({ workspace }) => workspace);
    for (const taker of served) {
      const end = ends.get(taker.workspace);
      // Gave something back while this was rendered, or was cut off before what it wants: the next page begins there.
      if (taker.taken < from || (end !== undefined && taker.taken >= end)) continue;
      this.#takers.delete(taker);
      taker.offer(ripe.get(taker.workspace) ?? [], end ?? position);
    }
  }
}

/**
 * Of a page, what somebody takes: a webhook that is not trusted yet has room for a few, and the rest would be rendered for
 * nothing. `ends` says of workspaces of which not all is taken up to where it is.
 */
function worthRendering(
  events: readonly RecordedEvent[],
  takers: readonly ScanTaker[],
  dialect: Pick<WebhookDialect, 'eventTypes'>,
): { told: RecordedEvent[]; ends: ReadonlyMap<number, bigint> } {
  const space = new Map<number, number>();
  for (const { workspace, space: own } of takers) space.set(workspace, Math.max(space.get(workspace) ?? 1, own));
  const ends = new Map<number, bigint>();
  const last = new Map<number, bigint>();
  const told: RecordedEvent[] = [];
  for (const event of events) {
    const workspace = workspaceOf(event) ?? -1;
    const left = space.get(workspace);
    if (left === undefined || !dialect.eventTypes.has(event.type)) continue;
    if (left === 0) {
      ends.set(workspace, last.get(workspace) as bigint);
      space.delete(workspace);
      continue;
    }
    space.set(workspace, left - 1);
    last.set(workspace, event.position);
    told.push(event);
  }
  return { told, ends };
}

/**
 * A position after which every event of that time or later stands, by halving: the log's times rise with its positions, but for
 * what clocks differ by. A history that can only be read from a record's own position on (EventStoreDB's) is not halved: its
 * start is such a position too.
 */
export async function positionBefore(history: History, timeMs: number): Promise<bigint> {
  const wanted = timeMs - clockDifferenceMs;
  let low = 0n;
  try {
    let high = await history.head();
    while (high - low > BigInt(pageEvents)) {
      const middle = (low + high) / 2n;
      const first = await firstAfter(history, middle, high);
      if (first === null || first.at >= wanted) high = middle;
      else low = first.position;
    }
  } catch (error) {
    // No record begins there.
    if (!(error instanceof RangeError)) throw error;
  }
  return low;
}

/** What clocks of two nodes differ by at most, generously. */
const clockDifferenceMs = 60_000;
