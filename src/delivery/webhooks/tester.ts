import { randomBytes } from 'node:crypto';
import type { WebhookCommands, WebhookTestDoor } from '../../commands/index.ts';
import { type Clock, iso } from '../../platform/clock.ts';
import type { OutboundGuard } from '../../platform/outbound-guard.ts';
import type { WebhookDialect } from './dialect.ts';
import { OwnPoster, postTarget } from './poster.ts';
import { signer } from './signature.ts';

/** What tests need. */
export interface WebhookTestsOptions {
  readonly guard: Pick<OutboundGuard, 'connector'>;
  readonly commands: Pick<WebhookCommands, 'openSecret' | 'openHeaders'>;
  readonly dialect: Pick<WebhookDialect, 'spellWorkspace' | 'spellWebhook'>;
  readonly clock: Clock;
  /** Somebody waits for the answer: 10,000 at most, whatever is told. */
  readonly attemptTimeoutMs: number;
}

const maxTimeoutMs = 10_000;

/** Makes what posts to a webhook at once. To be closed when nobody calls it any more. */
export function webhookTests(options: WebhookTestsOptions): WebhookTestDoor & { close(): Promise<void> } {
  const { guard, commands, dialect, clock } = options;
  const attemptTimeoutMs = Math.min(options.attemptTimeoutMs, maxTimeoutMs);
  const poster = new OwnPoster({ guard, attemptTimeoutMs });
  const newId = (prefix: string) => `${prefix}_${randomBytes(16).toString('hex')}`;
  return {
    async test(state) {
      const { workspace, webhook } = state;
      const at = clock.now();
      const id = newId('evt');
      const told = {
        id,
        event: 'webhook.test',
        created_at: iso(at),
        data: { message: 'This is a test' },
        meta: {
          client_id: dialect.spellWorkspace(workspace),
          webhook_id: dialect.spellWebhook(workspace, webhook),
          delivery_id: newId('del'),
          attempt: 1,
        },
      };
      const target = postTarget(state.url, commands.openHeaders(state));
      const body = JSON.stringify(told);
      const proof = signer(commands.openSecret(state)).sign(id, at, body);
      const began = clock.monotonicMs();
      const { status, error } = await poster.post({ target, proof, body, most: 1 });
      return { status, error, tookMs: clock.monotonicMs() - began };
    },
    close: () => poster.close(),
  };
}
