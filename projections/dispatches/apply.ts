import type { EventData } from '../../schemas/index.ts';
import { type Projection, type Queryable, tablesOf } from '../projection.ts';
import { type Accepted, acceptedRow, type DispatchRow, evolveRow, type Later, tombstone } from './evolve.ts';
import { RollUps } from './rollups.ts';
import { insertAccepted, insertRows, loadRows, replaceRows, updateRows } from './rows.ts';

type Erased = { readonly type: 'DispatchesErased'; readonly data: EventData<'DispatchesErased'> };

/** The rows that a batch changes beyond accepting them, as they were and as they become. */
class Changes {
  readonly #before: Map<string, DispatchRow>;
  readonly #after = new Map<string, DispatchRow>();
  constructor(before: Map<string, DispatchRow>) {
    this.#before = before;
  }

  #row(dispatch: string): DispatchRow | null {
    return this.#after.get(dispatch) ?? this.#before.get(dispatch) ?? null;
  }

  accept(event: Accepted): void {
    if (!this.#row(event.data.dispatch)) this.#after.set(event.data.dispatch, acceptedRow(event));
  }

  apply(event: Later | Erased): void {
    if (event.type === 'DispatchesErased') {
      for (const item of event.data.items) {
        if (!this.#row(item.dispatch)?.erased) this.#after.set(item.dispatch, tombstone(event.data.workspace, item));
      }
      return;
    }
    // Without a row the dispatch's beginning was blanked before it was read: its event "erased" makes the row.
    const row = this.#row(event.data.dispatch);
    const next = row && evolveRow(row, event);
    if (next && next !== row) this.#after.set(next.dispatch, next);
  }

  async save(client: Queryable, rollUps: RollUps): Promise<void> {
    const inserts: DispatchRow[] = [];
    const updates: DispatchRow[] = [];
    const tombstones: DispatchRow[] = [];
    for (const [dispatch, row] of this.#after) {
      const before = this.#before.get(dispatch) ?? null;
      rollUps.changed(before, row);
      if (!before) inserts.push(row);
      else if (row.erased) tombstones.push(row);
      else updates.push(row);
    }
    await updateRows(client, updates);
    await replaceRows(client, tombstones);
    await insertRows(client, inserts);
  }
}

function touchedBy(later: readonly (Later | Erased)[]): Set<string> {
  const touched = new Set<string>();
  for (const event of later) {
    if (event.type === 'DispatchesErased') for (const { dispatch } of event.data.items) touched.add(dispatch);
    else touched.add(event.data.dispatch);
  }
  return touched;
}

/** Dispatches, and the roll-ups that follow from how their rows change. */
export const dispatches: Projection = {
  name: 'dispatches',
  version: 1,
  readableFrom: 1,
  tables: tablesOf(import.meta.url),
  async apply(client, events) {
    let accepted: Accepted[] = [];
    const later: (Later | Erased)[] = [];
    for (const event of events) {
      switch (event.type) {
        case 'DispatchAccepted':
          accepted.push(event);
          break;
        case 'DispatchSent':
        case 'DispatchDelivered':
        case 'DispatchFailed':
        case 'DispatchDeferred':
        case 'DispatchesErased':
          later.push(event);
      }
    }
    const rollUps = new RollUps();
    if (later.length > 0) {
      const touched = touchedBy(later);
      const changes = new Changes(await loadRows(client, [...touched]));
      for (const event of accepted) if (touched.has(event.data.dispatch)) changes.accept(event);
      accepted = accepted.filter((event) => !touched.has(event.data.dispatch));
      for (const event of later) changes.apply(event);
      await changes.save(client, rollUps);
    }
    if (accepted.length > 0) {
      const tombstones = await insertAccepted(client, accepted);
      for (const { data, at } of accepted) {
        if (tombstones.size > 0 && tombstones.has(data.dispatch)) continue;
        rollUps.accepted(data.workspace, data.connectorType, data.owner.workspace, data.owner.account, at);
      }
    }
    await rollUps.save(client);
  },
};
