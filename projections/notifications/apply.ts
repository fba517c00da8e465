import { foldTable, keyOf } from '../fold-table.ts';
import { type Projection, type RecordedEvent, tablesOf } from '../projection.ts';
import { evolve, type NotificationEvent, type NotificationRow } from './evolve.ts';
import { RollUps } from './rollups.ts';

const table = foldTable<NotificationRow>(
  'notifications',
  1,
  {
    notification: 'text',
    workspace: 'int',
    room: 'int',
    type: 'text',
    status: 'text',
    priority: 'text',
    urgency: 'int',
    leaves_by: 'text',
    due: 'time',
    shown_position: 'position',
    shown_at: 'time',
    created_at: 'time',
    updated_at: 'time',
    sent_at: 'time',
    scheduled_for: 'time',
    used: 'int',
    max_retries: 'int',
    erased: 'bool',
    subject: 'text',
    content: 'text',
    email: 'json',
    fallback: 'json',
    recipients: 'json',
    provider_type: 'text',
    meta: 'json',
    error: 'text',
    attempts: 'json',
  },
  { erasable: true },
);

/** Notifications, and the roll-ups that follow from how their rows change. */
export const notifications: Projection = {
  name: 'notifications',
  version: 1,
  readableFrom: 1,
  tables: tablesOf(import.meta.url),
  async apply(client, events) {
    const ours = events.filter(isOurs);
    if (ours.length === 0) return;
    const before = await table.load(
      client,
      ours.map(({ data }) => [data.notification]),
    );
    const after = new Map<string, NotificationRow>();
    for (const event of ours) {
      const key = keyOf([event.data.notification]);
      const next = evolve(after.get(key) ?? before.get(key) ?? null, event);
      if (next) after.set(key, next);
    }
    const rollUps = new RollUps();
    for (const [key, row] of after) rollUps.changed(before.get(key) ?? null, row);
    await table.save(client, [...after.values()]);
    await rollUps.save(client);
  },
};

function isOurs(event: RecordedEvent): event is NotificationEvent {
  return event.type.startsWith('Notification');
}
