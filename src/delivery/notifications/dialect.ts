import type { NotificationState } from '../../commands/index.ts';

/** How a dialect spells what is posted to URLs; handed in, so that delivery knows no dialect. */
export interface NotificationDialect {
  /** The notification's id, as `webhook-id` and in the body. */
  spell(notification: string): string;
  /** The body of a post, any JSON value. `attempt` counts from 1. */
  body(state: NotificationState, attempt: number): unknown;
}
