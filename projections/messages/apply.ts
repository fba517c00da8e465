import { keyOf } from '../fold-table.ts';
import { type Projection, type Queryable, type RecordedEvent, tablesOf } from '../projection.ts';
import { evolveMessage, type Later } from './evolve.ts';
import {
  type ActivityChange,
  type Hiding,
  insertPosted,
  type MessageRow,
  messageTable,
  type PostedEvent,
  postedRow,
  type ReceiptRow,
  removeTraces,
  saveActivity,
  saveHidings,
  saveReceipts,
  tombstonesOf,
} from './rows.ts';

/** How the activity of rooms changes in one batch. */
class Activity {
  readonly #changes = new Map<string, ActivityChange>();

  #of(workspace: number, room: number): ActivityChange {
    const key = keyOf([workspace, room]);
    let change = this.#changes.get(key);
    if (!change) {
      change = { workspace, room, messages: 0, restricted: 0, lastMessage: 0, lastMessageAt: 0 };
      this.#changes.set(key, change);
    }
    return change;
  }

  #seen(change: ActivityChange, message: number, postedAt: number): void {
    if (message > change.lastMessage) change.lastMessage = message;
    if (postedAt > change.lastMessageAt) change.lastMessageAt = postedAt;
  }

  posted({ data, at }: PostedEvent): void {
    const change = this.#of(data.workspace, data.room);
    change.messages++;
    if (data.audience) change.restricted++;
    this.#seen(change, data.message, at);
  }

  changed(before: MessageRow | null, after: MessageRow): void {
    const change = this.#of(after.workspace, after.room);
    change.messages += countOf(after) - countOf(before);
    change.restricted += restrictedOf(after) - restrictedOf(before);
    this.#seen(change, after.message, after.posted_at);
  }

  save(client: Queryable): Promise<void> {
    return saveActivity(client, [...this.#changes.values()]);
  }
}

function countOf(row: MessageRow | null): number {
  return row && !row.deleted ? 1 : 0;
}

function restrictedOf(row: MessageRow | null): number {
  return row && !row.deleted && (row.audience !== null || row.hidden) ? 1 : 0;
}

function messageKey({ workspace, message }: { readonly workspace: number; readonly message: number }): string {
  return keyOf([workspace, message]);
}

/** Events of one batch, by what they do to rows. */
class Batch {
  readonly posted: PostedEvent[] = [];
  readonly later: Later[] = [];
  readonly receipts = new Map<string, ReceiptRow>();

  take(event: RecordedEvent): void {
    switch (event.type) {
      case 'MessagePosted':
        this.posted.push(event);
        break;
      case 'MessageEdited':
      case 'MessageDeleted':
        this.later.push(event);
        break;
      case 'MessagesErased': {
        const { workspace, room, items } = event.data;
        for (const item of items) {
          const data = { workspace, room, message: item.message };
          this.later.push({ type: 'erased', data, item, position: event.position });
        }
        break;
      }
      case 'ReceiptRecorded':
        this.#receipt(event);
    }
  }

  #receipt({ data, at, position }: RecordedEvent & { readonly type: 'ReceiptRecorded' }): void {
    const { workspace, message, account, room, status } = data;
    const key = keyOf([workspace, message, account]);
    let row = this.receipts.get(key);
    if (!row) {
      const none = { delivered_at: null, read_at: null, delivered_position: null, read_position: null };
      row = { workspace, message, account, room, ...none };
      this.receipts.set(key, row);
    }
    if (row[`${status}_at`] !== null) return;
    row[`${status}_at`] = at;
    row[`${status}_position`] = position;
  }
}

/** What happens to messages beyond their being posted, in the order of their events. */
async function applyLater(client: Queryable, batch: Batch, activity: Activity): Promise<PostedEvent[]> {
  const touched = new Map(batch.later.map(({ data }) => [messageKey(data), [data.workspace, data.message]]));
  const before = await messageTable.load(client, [...touched.values()]);
  const after = new Map<string, MessageRow>();
  const rowOf = (key: string) => after.get(key) ?? before.get(key) ?? null;
  for (const event of batch.posted) {
    const key = messageKey(event.data);
    if (touched.has(key) && !rowOf(key)) after.set(key, postedRow(event));
  }
  const hidings: Hiding[] = [];
  for (const later of batch.later) {
    const key = messageKey(later.data);
    const next = evolveMessage(rowOf(key), later);
    if (!next) continue;
    after.set(key, next);
    if (later.type !== 'MessageDeleted' || next.deleted) continue;
    const { workspace, message, account, room } = later.data;
    hidings.push({ workspace, message, account, room, position: later.position });
  }
  for (const [key, row] of after) activity.changed(before.get(key) ?? null, row);
  await messageTable.save(client, [...after.values()]);
  await saveHidings(
    client,
    hidings.filter((hiding) => !rowOf(messageKey(hiding))?.deleted),
  );
  await removeTraces(
    client,
    [...after.values()].filter((row) => row.deleted),
  );
  return batch.posted.filter(({ data }) => !touched.has(messageKey(data)));
}

/** Messages, who got and read them, and what they add up to in their rooms. */
export const messages: Projection = {
  name: 'messages',
  version: 1,
  readableFrom: 1,
  tables: tablesOf(import.meta.url),
  async apply(client, events) {
    const batch = new Batch();
    for (const event of events) batch.take(event);
    const activity = new Activity();
    const fresh = batch.later.length > 0 ? await applyLater(client, batch, activity) : batch.posted;
    if (fresh.length > 0) {
      const allNew = await insertPosted(client, fresh);
      const tombstones = allNew ? null : await tombstonesOf(client, fresh);
      for (const event of fresh) if (!tombstones?.has(messageKey(event.data))) activity.posted(event);
    }
    await saveReceipts(client, [...batch.receipts.values()]);
    await activity.save(client);
  },
};
