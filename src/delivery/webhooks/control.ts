import type { EventData, EventType, RecordedEvent } from '../../../schemas/index.ts';
import type { Endpoint } from './endpoint.ts';
import type { Holdings } from './holdings.ts';
import type { WebhookLeases } from './leases.ts';
import { Track } from './track.ts';

/** What hearing of webhooks needs. */
export interface ControlOptions {
  readonly holdings: Holdings;
  readonly leases: WebhookLeases;
  /** There is more to deliver at an endpoint. */
  readonly onNews: (endpoint: Endpoint) => void;
  /** Keeps work in view until it ended. */
  readonly track: (work: Promise<unknown>) => void;
}

/** What `Control` hears. */
export const controlEvents: ReadonlySet<EventType> = new Set<EventType>([
  'WebhookCreated',
  'WebhookChanged',
  'WebhookActivated',
  'WebhookDeactivated',
  'WebhookDeleted',
  'WebhookReplayRequested',
  'WebhookDeliveryRedriven',
  'WorkspaceDeleted',
]);

/** What the log tells about webhooks themselves, and of the end of their workspaces: what is delivered to, and what once more. */
export class Control {
  readonly #options: ControlOptions;

  constructor(options: ControlOptions) {
    this.#options = options;
  }

  /** Takes one event. */
  hear(event: RecordedEvent): void {
    const { holdings, leases, track } = this.#options;
    switch (event.type) {
      case 'WebhookCreated':
      case 'WebhookActivated':
        holdings.appeared(event.data);
        break;
      case 'WebhookChanged':
        track(holdings.changed(event.data));
        break;
      case 'WebhookDeactivated':
        holdings.vanished(event.data);
        break;
      case 'WebhookDeleted':
        holdings.vanished(event.data);
        track(leases.forget(event.data));
        break;
      case 'WorkspaceDeleted':
        holdings.letGoOf(event.data.workspace);
        break;
      case 'WebhookReplayRequested':
        this.#onReplay(event.data, event.position);
        break;
      case 'WebhookDeliveryRedriven':
        this.#onRedriven(event.data, event.position);
    }
  }

  #onReplay(data: EventData<'WebhookReplayRequested'>, position: bigint): void {
    const { holdings, onNews } = this.#options;
    const endpoint = holdings.get(data);
    if (!endpoint) holdings.heard(data);
    // Taken up just now, with this replay.
    if (!endpoint || endpoint.replays.has(data.replay)) return;
    const { replay, from, since, until } = data;
    endpoint.replays.add(replay);
    endpoint.tracks.push(new Track({ replay, upTo: BigInt(from ?? 0), beyond: [], endsAt: position, since, until }));
    onNews(endpoint);
  }

  #onRedriven(data: EventData<'WebhookDeliveryRedriven'>, position: bigint): void {
    const { holdings, onNews } = this.#options;
    const endpoint = holdings.get(data);
    if (!endpoint) {
      holdings.heard(data);
      return;
    }
    endpoint.open++;
    endpoint.dirty = true;
    if (position > endpoint.recordedTo) endpoint.recordedTo = position;
    onNews(endpoint);
  }
}
