import { hash } from 'node:crypto';
import type { RecordedEvent } from '../../../schemas/index.ts';
import { iso } from '../../platform/clock.ts';
import type { Reached } from '../reached.ts';
import type { WebhookDialect } from './dialect.ts';

/** An event as it can be sent: rendered once for all webhooks of its workspace. */
export interface Ripe {
  readonly workspace: number;
  readonly position: bigint;
  readonly stream: string;
  readonly revision: number;
  /** `evt_` and the event's id, without dashes: the same for every attempt, webhook and replay. */
  readonly id: string;
  readonly name: string;
  readonly room: number | null;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** The first part of the body, up to and with `data`. */
  readonly head: string;
}

/** The workspace that an event is of; null for one that is of none. */
export function workspaceOf({ data }: RecordedEvent): number | null {
  return 'workspace' in data ? data.workspace : null;
}

/** The id of an event as webhooks tell it: the same for ever. A hash in one go takes a quarter of the time of a UUID. */
export function eventId(event: Pick<RecordedEvent, 'commitId' | 'index'>): string {
  return `evt_${hash('sha256', `${event.commitId}/${event.index}`).slice(0, 32)}`;
}

/** The id of a delivery: one per event, webhook and replay. */
export function deliveryId(event: string, workspace: number, webhook: number, replay: number): string {
  return `del_${hash('sha256', `${event}/${workspace}/${webhook}/${replay}`).slice(0, 32)}`;
}

/** Renders events once the rows show them; those that are not told of are left out. */
export async function ripen(
  dialect: WebhookDialect,
  events: readonly RecordedEvent[],
  reached: Pick<Reached, 'until'>,
): Promise<Ripe[]> {
  const last = events.reduce((highest, { position }) => (position > highest ? position : highest), 0n);
  if (events.length === 0) return [];
  await reached.until(last);
  const rendered = await dialect.render(events);
  const ripe: Ripe[] = [];
  for (const [i, event] of events.entries()) {
    const told = rendered[i];
    const workspace = workspaceOf(event);
    if (!told || workspace === null) continue;
    const id = eventId(event);
    const createdAt = iso(event.at);
    ripe.push({
      workspace,
      position: event.position,
      stream: event.stream,
      revision: event.revision,
      id,
      name: told.event,
      room: told.room,
      at: event.at,
      head: `{"id":"${id}","event":${JSON.stringify(told.event)},"created_at":"${createdAt}","data":${JSON.stringify(told.data ?? null)}`,
    });
  }
  return ripe;
}
