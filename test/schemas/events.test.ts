/** The language: what the domain emits is what the schemas say, and it survives the log's JSON. */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import type { z } from 'zod';
import {
  checkEvent,
  codec,
  type DomainEvent,
  type EventData,
  type EventType,
  eventDefinitions,
  tiers,
} from '../../schemas/index.ts';
import { account } from '../../src/domain/account.ts';
import type { Aggregate } from '../../src/domain/aggregate.ts';
import { connector } from '../../src/domain/connector.ts';
import { device } from '../../src/domain/device.ts';
import { dispatch } from '../../src/domain/dispatch.ts';
import { emailProviders } from '../../src/domain/email-providers.ts';
import { key } from '../../src/domain/key.ts';
import { message } from '../../src/domain/message.ts';
import { notification } from '../../src/domain/notification.ts';
import { presence } from '../../src/domain/presence.ts';
import { receipt, watermark } from '../../src/domain/receipt.ts';
import { room } from '../../src/domain/room.ts';
import { session } from '../../src/domain/session.ts';
import { template } from '../../src/domain/template.ts';
import { webhook } from '../../src/domain/webhook.ts';
import { workspace } from '../../src/domain/workspace.ts';
import {
  accountCommands,
  accountRef,
  connectorCommands,
  connectorType,
  dispatchCommands,
  id,
  keyCommands,
  millis,
  sessionCommands,
  templateCommands,
  text,
  workspaceCommands,
} from '../domain/arbitraries.ts';
import {
  deviceCommands,
  messageCommands,
  presenceCommands,
  receiptCommands,
  roomCommands,
  watermarkCommands,
} from '../domain/chat-arbitraries.ts';
import { emailProvidersCommands, sealedProviders } from '../domain/email-provider-arbitraries.ts';
import { decided } from '../domain/given.ts';
import { notificationCommands } from '../domain/notification-arbitraries.ts';
import { webhookCommands } from '../domain/webhook-arbitraries.ts';
import { chatSamples } from './chat-samples.ts';
import { notificationSamples } from './notification-samples.ts';
import { webhookSamples } from './webhook-samples.ts';

/** Data of every type there is; the compiler sees to it that none is missing. */
const samples: { readonly [T in EventType]: fc.Arbitrary<EventData<T>> } = {
  ...chatSamples,
  ...webhookSamples,
  ...notificationSamples,
  EmailProvidersSet: fc.record({ workspace: id, providers: sealedProviders }),
  AccountOpened: fc.record({ workspace: id, account: id, kind: fc.constantFrom('person', 'bot', 'service') }),
  IdentifierAttached: fc.record(
    { workspace: id, account: id, kind: fc.constantFrom('email', 'username', 'phone'), value: text, claim: text },
    { requiredKeys: ['workspace', 'account', 'kind', 'value'] },
  ),
  PasswordSet: fc.record({ workspace: id, account: id, hash: text }),
  ProfileChanged: fc.record(
    {
      workspace: id,
      account: id,
      displayName: fc.option(text),
      givenName: fc.option(text),
      familyName: fc.option(text),
      job: fc.option(text),
      bio: fc.option(text),
      avatar: fc.option(id),
    },
    { requiredKeys: ['workspace', 'account'] },
  ),
  TierChanged: fc.record({ workspace: id, account: id, tier: fc.constantFrom(...tiers) }),
  SessionStarted: fc.record({
    workspace: id,
    account: id,
    session: text,
    refreshHash: text,
    expiresAt: millis,
    login: fc.boolean(),
  }),
  SessionRefreshed: fc.record({
    workspace: id,
    account: id,
    session: text,
    refreshHash: text,
    previousHash: text,
    expiresAt: millis,
  }),
  SessionEnded: fc.record({
    workspace: id,
    account: id,
    session: text,
    reason: fc.constantFrom('logout', 'token-reused'),
  }),
  WorkspaceOpened: fc.record({
    workspace: id,
    kind: fc.constantFrom('system', 'project', 'client'),
    owner: fc.option(accountRef),
    name: text,
    description: fc.option(text),
  }),
  WorkspaceChanged: fc.record(
    { workspace: id, name: text, description: fc.option(text) },
    { requiredKeys: ['workspace'] },
  ),
  WorkspaceDeleted: fc.record({ workspace: id, owner: fc.option(accountRef) }),
  KeyIssued: fc.record(
    {
      workspace: id,
      key: id,
      name: text,
      mode: fc.constantFrom('live', 'test'),
      secretHash: text,
      rateLimit: fc.nat(),
      expiresAt: fc.option(millis),
      dialect: fc.constantFrom('messagejs', 'chatapi'),
    },
    { requiredKeys: ['workspace', 'key', 'name', 'mode', 'secretHash', 'rateLimit', 'expiresAt'] },
  ),
  KeyRevoked: fc.record({ workspace: id, key: id }),
  ConnectorCreated: fc.record({
    workspace: id,
    connector: id,
    connectorType,
    name: text,
    sealed: text,
    senderHash: fc.option(text),
  }),
  ConnectorChanged: fc.record(
    {
      workspace: id,
      connector: id,
      name: text,
      isActive: fc.boolean(),
      sealed: text,
      senderHash: fc.option(text),
    },
    { requiredKeys: ['workspace', 'connector'] },
  ),
  ConnectorDeleted: fc.record({ workspace: id, connector: id }),
  TemplateCreated: fc.record({
    workspace: id,
    template: id,
    name: text,
    connectorType,
    content: text,
    variables: fc.array(text),
  }),
  TemplateChanged: fc.record(
    { workspace: id, template: id, name: text, content: text, variables: fc.array(text), isActive: fc.boolean() },
    { requiredKeys: ['workspace', 'template'] },
  ),
  TemplateDeleted: fc.record({ workspace: id, template: id }),
  DispatchAccepted: fc.record({
    workspace: id,
    dispatch: text,
    owner: accountRef,
    key: id,
    connector: id,
    connectorType,
    template: id,
    to: text,
    text,
  }),
  DispatchSent: fc.record({
    workspace: id,
    dispatch: text,
    connector: id,
    externalId: text,
    attempt: fc.nat(),
    sentAt: millis,
  }),
  DispatchDelivered: fc.record({ workspace: id, dispatch: text, deliveredAt: millis }),
  DispatchFailed: fc.record({ workspace: id, dispatch: text, error: text, attempt: fc.nat() }),
  DispatchDeferred: fc.record({ workspace: id, dispatch: text, attempt: fc.nat(), retryAt: millis, error: text }),
  ReceiptHeld: fc.record({
    connectorType,
    externalHash: text,
    senderHash: fc.option(text),
    status: fc.constantFrom('sent', 'delivered', 'failed'),
    error: fc.option(text),
    receivedAt: millis,
  }),
  WorkspaceErased: fc.record({
    workspace: id,
    kind: fc.constantFrom('system', 'project', 'client'),
    owner: fc.option(accountRef),
    createdAt: millis,
  }),
  KeyErased: fc.record({ workspace: id, key: id }),
  ConnectorErased: fc.record({ workspace: id, connector: id, connectorType }),
  TemplateErased: fc.record({ workspace: id, template: id, connectorType }),
  DispatchesErased: fc.record({
    workspace: id,
    items: fc.array(
      fc.record({
        dispatch: text,
        owner: accountRef,
        key: id,
        connector: id,
        connectorType,
        template: id,
        status: fc.constantFrom('pending', 'sent', 'delivered', 'failed'),
        createdAt: millis,
        sentAt: fc.option(millis),
        deliveredAt: fc.option(millis),
      }),
    ),
  }),
};

const types = Object.keys(eventDefinitions) as EventType[];

/** Throws unless the event is of its schema, wholly, and the same after JSON and the codec. */
function holds(happened: DomainEvent): void {
  checkEvent(happened);
  const { type, data } = happened;
  const schema: z.ZodType = eventDefinitions[type].schema;
  const stored: unknown = codec.upcast(type, codec.versionOf(type), JSON.parse(JSON.stringify(data)));
  for (const read of [stored, schema.parse(data)]) {
    if (!isDeepStrictEqual(read, structuredClone(data)))
      throw new Error(`${type} ${fc.stringify(data)} is read as ${fc.stringify(read)}`);
  }
}

t.test('every type survives the log', async (t) => {
  for (const type of types) {
    t.doesNotThrow(() => {
      fc.assert(
        fc.property(samples[type] as fc.Arbitrary<unknown>, (data) => holds({ type, data } as DomainEvent)),
        { numRuns: 50 },
      );
    }, type);
  }
});

t.test('data of another shape is refused', async (t) => {
  for (const type of types) {
    const data = fc.sample(samples[type] as fc.Arbitrary<object>, 1)[0] as Record<string, unknown>;
    const { shape } = eventDefinitions[type].schema as unknown as { shape: Record<string, z.ZodType> };
    for (const [field, schema] of Object.entries(shape)) {
      const { [field]: _, ...without } = data;
      if (!schema.safeParse(undefined).success)
        t.throws(() => checkEvent({ type, data: without } as DomainEvent), `${type} without ${field}`);
      t.throws(
        () => checkEvent({ type, data: { ...data, [field]: Symbol('no') } } as never),
        `${type}, wrong ${field}`,
      );
    }
  }
  for (const workspace of [-1, 1.5, 2 ** 31, '1', null]) {
    t.throws(() => checkEvent({ type: 'KeyRevoked', data: { workspace, key: 1 } } as never), `workspace ${workspace}`);
  }
});

/** Carries out random commands and gives every event to `holds`. */
function emits<State, Command>(aggregate: Aggregate<State, Command>, sequences: fc.Arbitrary<Command[]>): Set<string> {
  const seen = new Set<string>();
  fc.assert(
    fc.property(sequences, (commands) => {
      let state = aggregate.initial;
      let at = 0;
      for (const command of commands) {
        const events = decided(aggregate, state, command);
        if (typeof events === 'string') continue;
        for (const happened of events) {
          holds(happened);
          seen.add(happened.type);
          const before = structuredClone(state);
          const next = aggregate.evolve(state, { ...happened, at: ++at });
          if (!isDeepStrictEqual(before, structuredClone(state)))
            throw new Error(`${happened.type} changed the old state`);
          state = next;
        }
      }
    }),
    // So many that none of the types is missed by chance.
    { numRuns: 1_500 },
  );
  return seen;
}

t.test('what the domain emits is what the schemas say', async (t) => {
  const seen = [
    emits(account, accountCommands),
    emits(session, sessionCommands),
    emits(workspace, workspaceCommands),
    emits(key, keyCommands),
    emits(connector, connectorCommands),
    emits(template, templateCommands),
    emits(dispatch, dispatchCommands),
    emits(room, roomCommands),
    emits(message, messageCommands),
    emits(receipt, receiptCommands),
    emits(watermark, watermarkCommands),
    emits(presence, presenceCommands),
    emits(device, deviceCommands),
    emits(webhook, webhookCommands),
    emits(notification, notificationCommands),
    emits(emailProviders, emailProvidersCommands),
  ].reduce((all, some) => all.union(some), new Set<string>());
  const elsewhere = types.filter(
    (type) => type.endsWith('Erased') || type === 'ReceiptHeld' || type === 'WebhookAttemptsRecorded',
  );
  t.strictSame([...seen].sort(), types.filter((type) => !elsewhere.includes(type)).sort(), 'all types were met');
});
