import type { NotificationState, Round } from '../../commands/index.ts';
import type { WebhookAnswer, WebhookSender } from '../webhooks/sender.ts';
import { proofHeaders, signer } from '../webhooks/signature.ts';
import type { NotificationsOptions } from './index.ts';

/** What posting needs. */
export type PostsOptions = Pick<NotificationsOptions, 'dialect' | 'secretOf' | 'clock'> & {
  readonly sender: Pick<WebhookSender, 'post'>;
};

/** Posts of one notification under way at once. */
const maxAtOnce = 8;

/** Statuses that may be another ones later: a time-out, too early, too many. Any other 4xx is a refusal (sheet, section 10). */
const passing = new Set([408, 425, 429]);

type Attempt = Round['attempts'][number];

/** Posts notifications to URLs. */
export class Posts {
  readonly #options: PostsOptions;

  constructor(options: PostsOptions) {
    this.#options = options;
  }

  /** One round: every URL that did not take it yet, once. */
  async post(state: NotificationState): Promise<Omit<Round, 'fallback' | 'shown'>> {
    const urls = state.open ?? state.recipients;
    const ended: { url: string; attempt: Attempt; again: boolean }[] = [];
    const waiting = [...urls.entries()];
    const work = async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        const [i, url] = next;
        ended[i] = { url, ...(await this.#attempt(state, url)) };
      }
    };
    await Promise.all(Array.from({ length: Math.min(maxAtOnce, urls.length) }, work));
    const failed = ended.filter(({ attempt }) => attempt.error !== null);
    const [first] = failed;
    const error = first ? `${failed.length} of ${state.recipients.length} URLs: ${first.attempt.error}` : null;
    return {
      attempts: ended.map(({ attempt }) => attempt),
      open: failed.map(({ url }) => url),
      error,
      next: failed.some(({ again }) => again) ? 'again' : 'never',
      retryAfterMs: null,
    };
  }

  async #attempt(state: NotificationState, url: string): Promise<{ attempt: Attempt; again: boolean }> {
    const { dialect, secretOf, sender, clock } = this.#options;
    const { origin, pathname, search } = new URL(url);
    const body = JSON.stringify(dialect.body(state, state.attempts + 1));
    const id = dialect.spell(state.notification);
    const secret = await secretOf(state.workspace, url);
    const [at, began] = [clock.now(), clock.monotonicMs()];
    const proof = secret === null ? { 'webhook-id': id } : proofHeaders(signer(secret).sign(id, at, body));
    const headers = { 'user-agent': 'Parley-Webhooks', 'content-type': 'application/json', ...proof };
    const answer = await sender.post({ origin, path: pathname + search, headers, body });
    const attempt: Attempt = {
      channel: 'webhook',
      provider: 'webhook',
      externalId: null,
      target: url,
      at,
      tookMs: Math.round(clock.monotonicMs() - began),
      error: answer.error,
    };
    return { attempt, again: mayEndBetter(answer) };
  }
}

function mayEndBetter({ status, error }: WebhookAnswer): boolean {
  if (error === 'TARGET_NOT_ALLOWED') return false;
  return status === null || status < 400 || status > 499 || passing.has(status);
}
