/** Data of every event type about webhooks. */
import fc from 'fast-check';
import type { EventData, EventType } from '../../schemas/index.ts';
import { id, millis, text } from '../domain/arbitraries.ts';
import { position, settings } from '../domain/webhook-arbitraries.ts';

const ref = { workspace: id, webhook: id };

/** Data of every event type about webhooks; the compiler sees to it that none is missing. */
export const webhookSamples: { readonly [T in Extract<EventType, `Webhook${string}`>]: fc.Arbitrary<EventData<T>> } = {
  WebhookCreated: fc.record({ ...ref, ...settings }),
  WebhookChanged: fc.record({ ...ref, ...settings }, { requiredKeys: ['workspace', 'webhook'] }),
  WebhookActivated: fc.record(ref),
  WebhookDeactivated: fc.record({ ...ref, reason: fc.constantFrom('requested', 'failing') }),
  WebhookDeleted: fc.record(ref),
  WebhookReplayRequested: fc.record({
    ...ref,
    replay: id,
    from: fc.option(position),
    since: fc.option(millis),
    until: fc.option(millis),
  }),
  WebhookReplayFinished: fc.record({ ...ref, replay: id }),
  WebhookDeliveryRedriven: fc.record({ ...ref, delivery: text }),
  WebhookAttemptsRecorded: fc.record({
    ...ref,
    activation: fc.nat(),
    settled: fc.array(fc.record({ replay: id, upTo: position, beyond: fc.array(position) })),
    failed: fc.array(
      fc.record({
        delivery: text,
        replay: id,
        position,
        stream: text,
        revision: fc.nat(),
        event: text,
        attempt: fc.integer({ min: 1, max: 100 }),
        used: fc.integer({ min: 1, max: 5 }),
        at: millis,
        status: fc.option(fc.nat(599)),
        error: text,
        retryAt: fc.option(millis),
      }),
    ),
    ended: fc.array(fc.record({ delivery: text, outcome: fc.constantFrom('delivered', 'erased') })),
    delivered: fc.nat(),
    lastAt: millis,
    failureCount: fc.nat(),
    failureAt: fc.option(millis),
  }),
  WebhookErased: fc.record(ref),
};
