import { type PendingDispatch, pendingDispatches } from '../../projections/dispatches/queries.ts';
import type { Queryable } from '../../projections/projection.ts';
import type { Clock } from '../platform/clock.ts';
import type { Held } from './held.ts';
import type { Lane } from './lane.ts';
import type { Claimed, Leases } from './leases.ts';

/** What filling a lane needs. */
export interface FillOptions {
  readonly read: Queryable;
  readonly clock: Clock;
  readonly leases: Leases;
  readonly held: Held;
  /** Other processes send too: what they have is passed over, and rows are read again under the lease. */
  readonly shared: boolean;
  /** Dispatches accepted since then were met by no process that ran before this one; milliseconds since the epoch. */
  readonly freshFrom: number;
}

/** How a fill ended. `more`: there is more to claim. `againInMs`: when it is worth looking again; null when told otherwise. */
export interface Filled {
  readonly more: boolean;
  readonly againInMs: number | null;
}

/** Rows of one page at most. */
const maxPage = 500;
/** Pages of one fill at most: how far it looks beyond what cannot be sent from here, or not yet. */
const maxPages = 8;

/**
 * Claims up to `wanted` of a lane's due dispatches, those due first before the others. Those that other processes have, and
 * those to a Telegram chat that is not to be written to yet, are passed over, as far as some pages go.
 */
export async function fillLane(lane: Lane, wanted: number, options: FillOptions): Promise<Filled> {
  const { read, clock, leases, held, shared } = options;
  const { workspace, connector } = lane;
  let after: Pick<PendingDispatch, 'due' | 'dispatch'> | undefined;
  let took = 0;
  let passed = 0;
  let chatMs = Number.POSITIVE_INFINITY;
  for (let page = 0; page < maxPages; page++) {
    // The more is passed over, the further the next page reaches.
    const limit = Math.min(maxPage, wanted - took + lane.held + 4 * passed);
    const asked = { workspace, connector, nowMs: clock.now(), limit, ...(after && { after }) };
    const rows = await pendingDispatches(read, asked);
    const others = rows.filter(({ dispatch }) => !held.has(dispatch));
    const taken = shared ? await leases.taken(others.map(({ dispatch }) => dispatch)) : nothing;
    passed += taken.size;
    const chats = new Set<string>();
    const candidates: PendingDispatch[] = [];
    let isCut = false;
    for (const row of others) {
      if (taken.has(row.dispatch)) continue;
      isCut = candidates.length >= wanted - took;
      if (isCut) break;
      const waitMs = lane.chatWaitMs(row, clock.monotonicMs());
      const twin = lane.pacesChats && chats.has(row.to);
      chats.add(row.to);
      if (waitMs > 0 || twin) {
        passed++;
        chatMs = Math.min(chatMs, Math.max(waitMs, minAgainMs));
      } else candidates.push(row);
    }
    took += await claim(lane, candidates, options, asked);
    // Of those beyond the cut some may be had where another was quicker with the ones before.
    if (took >= wanted || isCut) return { more: true, againInMs: null };
    const last = rows.at(-1);
    if (rows.length < limit || !last) return { more: false, againInMs: Number.isFinite(chatMs) ? chatMs : null };
    after = last;
  }
  return { more: false, againInMs: Math.min(chatMs, maxAgainMs) };
}

const nothing: ReadonlySet<string> = new Set();

/** Between looks that found nothing to claim among much that is due. */
const minAgainMs = 50;
const maxAgainMs = 1_000;

/** Claims rows for the lane; answers how many it got. */
async function claim(
  lane: Lane,
  rows: readonly PendingDispatch[],
  { read, clock, leases, held, shared, freshFrom }: FillOptions,
  asked: Parameters<typeof pendingDispatches>[1],
): Promise<number> {
  if (rows.length === 0) return 0;
  const claimedAt = clock.monotonicMs();
  const claims = await leases.claim(rows.map(({ dispatch }) => dispatch));
  const claimed = rows.flatMap((row, i) => {
    const how = claims[i] as Claimed;
    return how === 'refused' ? [] : [{ row, takenOver: how === 'taken-over' }];
  });
  if (claimed.length === 0) return 0;
  // Held from here on, so that whatever happens next, none is claimed twice and each is let go once.
  for (const { row } of claimed) held.add(row.dispatch, lane, claimedAt);
  // Another process may have settled one, and let it go, between our read and our claim.
  const still = shared ? new Map((await reread(read, asked, held, claimed)).map((row) => [row.dispatch, row])) : null;
  let took = 0;
  for (const { row, takenOver } of claimed) {
    const current = still ? still.get(row.dispatch) : row;
    if (!current) {
      held.letGo(row.dispatch, 0n).catch(() => {});
      continue;
    }
    const fresh = current.revision === 0 && current.createdAt >= freshFrom && !takenOver;
    lane.add({ row: current, verify: !fresh });
    took++;
  }
  return took;
}

async function reread(
  read: Queryable,
  asked: Parameters<typeof pendingDispatches>[1],
  held: Held,
  claimed: readonly { readonly row: PendingDispatch }[],
): Promise<PendingDispatch[]> {
  try {
    return await pendingDispatches(read, asked);
  } catch (error) {
    for (const { row } of claimed) held.letGo(row.dispatch, 0n).catch(() => {});
    throw error;
  }
}
