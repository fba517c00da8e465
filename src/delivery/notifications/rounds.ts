import {
  type FallbackReason,
  mailOf,
  type NotificationState,
  type RoomState,
  type Round,
} from '../../commands/index.ts';
import { WebhookSender } from '../webhooks/sender.ts';
import type { NotificationChannel, NotificationsOptions } from './index.ts';
import { Mails, type Turn } from './mails.ts';
import { Posts } from './posts.ts';

/** How a notification leaves now. */
export interface Plan {
  readonly channel: NotificationChannel;
  /** Why it leaves by e-mail instead of to its room. */
  readonly fallback: FallbackReason | null;
  /** Why it cannot be shown in its room; null where it can, and on the other channels. */
  readonly error: string | null;
}

/** Time for one mail or post (sheet, section 11). */
const defaultAttemptTimeoutMs = 30_000;
/** Accounts of one question whether anybody is connected. */
const maxAsked = 10_000;

/** Says how a notification leaves, and lets it. */
export class Rounds {
  readonly #options: NotificationsOptions;
  readonly #mails: Mails;
  readonly #posts: Posts;
  readonly #sender: WebhookSender;

  constructor(options: NotificationsOptions) {
    const { attemptTimeoutMs = defaultAttemptTimeoutMs, guard } = options;
    this.#options = options;
    this.#mails = new Mails({ ...options, attemptTimeoutMs });
    this.#sender = new WebhookSender({ guard, attemptTimeoutMs });
    this.#posts = new Posts({ ...options, sender: this.#sender });
  }

  /** How it leaves, by the sheet's table of the WebSocket channel. */
  async plan(state: NotificationState): Promise<Plan> {
    const { type, room, leavesBy } = state;
    if (type !== 'websocket') return { channel: type, fallback: null, error: null };
    // By e-mail from the beginning: that is no fallback's fault.
    if (room === null) return { channel: 'email', fallback: null, error: null };
    if (leavesBy !== null) return { channel: 'email', fallback: leavesBy, error: null };
    const hasFallback = mailOf(state) !== null;
    const found = await this.#options.roomOf(state.workspace, room);
    if (!found.exists || found.deleted) {
      if (hasFallback) return { channel: 'email', fallback: 'websocket_delivery_failed', error: null };
      return { channel: 'websocket', fallback: null, error: 'The room does not exist any more' };
    }
    if (!hasFallback || (await this.#isAnybodyThere(state.workspace, found)))
      return { channel: 'websocket', fallback: null, error: null };
    return { channel: 'email', fallback: 'no_online_users', error: null };
  }

  /** Takes a turn in the pace of what it leaves by; or says how long to wait for one. */
  takeTurn(state: NotificationState, { channel }: Plan): Promise<Turn> {
    return channel === 'email' ? this.#mails.takeTurn(state) : Promise.resolve({ waitMs: 0, by: null });
  }

  /** Lets it leave. Rejects only when storage is away before anything left. */
  async run(state: NotificationState, { channel, fallback, error }: Plan, turn: Turn): Promise<Round> {
    switch (channel) {
      case 'email':
        return { fallback, shown: false, ...(await this.#mails.send(state, turn.by)) };
      case 'webhook':
        return { fallback, shown: false, ...(await this.#posts.post(state)) };
      case 'websocket': {
        const attempt = {
          channel,
          provider: channel,
          externalId: null,
          target: null,
          at: this.#options.clock.now(),
          tookMs: 0,
          error,
        };
        return {
          fallback,
          shown: error === null,
          attempts: [attempt],
          open: [],
          error,
          next: 'never',
          retryAfterMs: null,
        };
      }
    }
  }

  /** Ends the connections. */
  close(): Promise<void> {
    return this.#sender.close();
  }

  async #isAnybodyThere(workspace: number, { members }: RoomState): Promise<boolean> {
    for (let at = 0; at < members.length; at += maxAsked) {
      const accounts = members.slice(at, at + maxAsked).map(({ account }) => account);
      if ((await this.#options.online(workspace, accounts)).size > 0) return true;
    }
    return false;
  }
}
