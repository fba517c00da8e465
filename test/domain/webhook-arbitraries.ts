/** Random commands of a webhook. */
import fc from 'fast-check';
import type { WebhookCommand } from '../../src/domain/webhook.ts';
import { id, millis, text } from './arbitraries.ts';
import { meta } from './chat-arbitraries.ts';

const ref = { workspace: id, webhook: id };

/** A position, spelled. */
export const position = fc.bigInt({ min: 0n, max: 10n ** 18n }).map(String);

/** Settings of a webhook as events have them. */
export const settings = {
  url: text,
  events: fc.array(text),
  sealedSecret: text,
  headerNames: fc.array(text),
  sealedHeaders: fc.option(text),
  roomFilters: fc.array(id),
  meta: fc.option(meta),
};

const create = fc.record({ command: fc.constant('CreateWebhook' as const), ...ref, ...settings });
const replayEnds = { since: fc.option(millis), until: fc.option(millis) };
const later = fc.oneof(
  fc.record(
    { command: fc.constant('ChangeWebhook' as const), ...ref, ...settings, isActive: fc.boolean() },
    { requiredKeys: ['command', 'workspace', 'webhook'] },
  ),
  fc.record({ command: fc.constant('DeactivateFailing' as const), ...ref, activation: fc.nat(2) }),
  fc.record({ command: fc.constant('DeleteWebhook' as const), ...ref }),
  fc.record({ command: fc.constant('RequestReplay' as const), ...ref, from: fc.option(position), ...replayEnds }),
  fc.record({ command: fc.constant('FinishReplay' as const), ...ref, replay: fc.nat(6) }),
  fc.record({ command: fc.constant('RedriveDelivery' as const), ...ref, delivery: text }),
);

/** A life of a webhook, most often with its beginning. */
export const webhookCommands: fc.Arbitrary<WebhookCommand[]> = fc
  .tuple(fc.array(create, { maxLength: 1 }), fc.array(later, { maxLength: 12 }))
  .map(([first, rest]) => [...first, ...rest]);
