import type { EventType, RecordedEvent } from '../../../schemas/index.ts';

/** What webhooks tell of one event of the log. */
export interface Rendered {
  /** The event's name, as webhooks ask for it. */
  readonly event: string;
  /** The room it is of, by number; null for none. */
  readonly room: number | null;
  /** Any JSON value: the body's `data`. */
  readonly data: unknown;
}

/** How a dialect spells what leaves by webhook; handed in, so that delivery knows no dialect. */
export interface WebhookDialect {
  /** Types of events that can be told of: others are never given to `render`. */
  readonly eventTypes: ReadonlySet<EventType>;
  /**
   * What is told of events, in their order; null for one that is not told of. Events come in the order of the log, of
   * several workspaces; the rows that it may read show them. A rejection is tried again: what can never be told of is null.
   */
  render(events: readonly RecordedEvent[]): Promise<readonly (Rendered | null)[]>;
  /** The body's `meta.client_id`. */
  spellWorkspace(workspace: number): string;
  /** The body's `meta.webhook_id`. */
  spellWebhook(workspace: number, webhook: number): string;
}
