import t from 'tap';
import { type EventData, event } from '../../schemas/index.ts';
import { DomainError } from '../../src/domain/errors.ts';
import {
  afterAttempt,
  checkEvents,
  checkHeaders,
  checkSecret,
  checkUrl,
  maxFailures,
  webhook,
  webhookLimits,
} from '../../src/domain/webhook.ts';
import { given, type Past, stateAfter } from './given.ts';

const ref = { workspace: 7, webhook: 1 };
const settings: EventData<'WebhookCreated'> = {
  ...ref,
  url: 'https://example.com/hook',
  events: ['message.created'],
  sealedSecret: 'sealed',
  headerNames: [],
  sealedHeaders: null,
  roomFilters: [],
  meta: null,
};
const created = event('WebhookCreated', settings);
const replay = (number: number): Past =>
  event('WebhookReplayRequested', { ...ref, replay: number, from: '5', since: null, until: null });

t.test('a webhook is made once, and is active from then on', async (t) => {
  given(t, webhook)
    .when({ command: 'CreateWebhook', ...settings })
    .yields([created]);
  given(t, webhook, [created])
    .when({ command: 'CreateWebhook', ...settings })
    .yields('already-exists');
  t.match(stateAfter(webhook, [created]), { exists: true, isActive: true, activation: 0, lastReplay: 0, createdAt: 1 });
});

t.test('nothing is done to one that is not there', async (t) => {
  for (const past of [[], [created, event('WebhookDeleted', ref)]])
    for (const command of [
      { command: 'ChangeWebhook', ...ref, url: 'https://example.com' },
      { command: 'DeleteWebhook', ...ref },
      { command: 'DeactivateFailing', ...ref, activation: 0 },
      { command: 'RequestReplay', ...ref, from: '1', since: null, until: null },
      { command: 'FinishReplay', ...ref, replay: 1 },
      { command: 'RedriveDelivery', ...ref, delivery: 'del_1' },
    ] as const)
      given(t, webhook, past).when(command).yields('not-found', command.command);
});

t.test('a deleted one keeps no secret in memory', async (t) => {
  const { exists, sealedSecret, url } = stateAfter(webhook, [created, event('WebhookDeleted', ref)]);
  t.strictSame({ exists, sealedSecret, url }, { exists: false, sealedSecret: '', url: '' });
});

t.test('changing: only what is given, and switching only when it is the other way', async (t) => {
  const off = event('WebhookDeactivated', { ...ref, reason: 'requested' });
  const change = { command: 'ChangeWebhook', ...ref } as const;
  given(t, webhook, [created])
    .when({ ...change, url: 'https://example.org' })
    .yields([event('WebhookChanged', { ...ref, url: 'https://example.org' })]);
  given(t, webhook, [created])
    .when({ ...change, isActive: true })
    .yields([]);
  given(t, webhook, [created])
    .when({ ...change, isActive: false })
    .yields([off]);
  given(t, webhook, [created, off])
    .when({ ...change, isActive: false })
    .yields([]);
  given(t, webhook, [created, off])
    .when({ ...change, isActive: true, roomFilters: [3] })
    .yields([event('WebhookChanged', { ...ref, roomFilters: [3] }), event('WebhookActivated', ref)]);
  const changed = stateAfter(webhook, [created, event('WebhookChanged', { ...ref, roomFilters: [3] })]);
  t.match(changed, { url: settings.url, roomFilters: [3], updatedAt: 2 });
  t.match(stateAfter(webhook, [created, off, event('WebhookActivated', ref)]), { isActive: true, activation: 1 });
});

t.test('one that fails is switched off, unless it was made active again since', async (t) => {
  const off = event('WebhookDeactivated', { ...ref, reason: 'failing' });
  const failing = { command: 'DeactivateFailing', ...ref, activation: 0 } as const;
  given(t, webhook, [created]).when(failing).yields([off]);
  given(t, webhook, [created, off]).when(failing).yields([]);
  given(t, webhook, [created, off, event('WebhookActivated', ref)])
    .when(failing)
    .yields([]);
});

t.test('replays are numbered, have one beginning, and are so many at once', async (t) => {
  const ask = { command: 'RequestReplay', ...ref, from: '5', since: null, until: null } as const;
  given(t, webhook, [created])
    .when(ask)
    .yields([replay(1) as typeof created | ReturnType<typeof replay>] as never);
  given(t, webhook, [created])
    .when({ ...ask, from: null })
    .yields('value-invalid');
  given(t, webhook, [created])
    .when({ ...ask, since: 1 })
    .yields('value-invalid');
  const full = [created, ...[1, 2, 3, 4, 5].map(replay)];
  given(t, webhook, full).when(ask).yields('replays-under-way');
  const finished = event('WebhookReplayFinished', { ...ref, replay: 2 });
  given(t, webhook, [...full, finished])
    .when(ask)
    .yields([replay(6)] as never);
  given(t, webhook, full)
    .when({ command: 'FinishReplay', ...ref, replay: 2 })
    .yields([finished]);
  given(t, webhook, [...full, finished])
    .when({ command: 'FinishReplay', ...ref, replay: 2 })
    .yields([]);
});

t.test('the count of failures: at most one more in 30 s, back to none by any success', async (t) => {
  let failures = { count: 0, at: null as number | null };
  const fails = (at: number) => {
    failures = afterAttempt(failures, false, at);
    return failures.count;
  };
  t.equal(fails(0), 1);
  t.equal(fails(29_999), 1);
  t.equal(fails(30_000), 2);
  t.equal(fails(31_000), 2);
  t.equal(fails(60_000), 3);
  failures = afterAttempt(failures, true, 60_500);
  t.equal(failures.count, 0);
  t.equal(fails(61_000), 0, 'not twice in 30 s, whatever came between');
  t.equal(fails(90_000), 1);
  for (let i = 1; i < maxFailures; i++) fails(90_000 + i * 30_000);
  t.equal(failures.count, maxFailures);
});

t.test('values are judged', async (t) => {
  const refused = (check: () => void, field: string) => {
    try {
      check();
      t.fail(`${field} was taken`);
    } catch (error) {
      t.ok(error instanceof DomainError && error.code === 'value-invalid' && error.details?.field === field, field);
    }
  };
  const forbids = (host: string) => host === '[::1]';
  for (const url of [
    '',
    'x',
    'ftp://a',
    'http://u@a/',
    'http://:p@a/',
    'http://[::1]/',
    `http://a/${'x'.repeat(3_000)}`,
  ])
    refused(() => checkUrl(url, forbids), 'url');
  t.doesNotThrow(() => checkUrl('https://a.example:8443/x?y#z', forbids));
  const known = new Set(['a', 'b']);
  for (const events of [[], ['c'], ['a', 'a']]) refused(() => checkEvents(events, known), 'events');
  t.doesNotThrow(() => checkEvents(['b', 'a'], known));
  for (const headers of [
    { 'a b': '1' },
    { a: '1\r\n2' },
    { host: '1' },
    { 'Content-Foo': '1' },
    { 'X-ChatAPI-A': '1' },
  ])
    refused(() => checkHeaders(headers as Record<string, string>), 'custom_headers');
  t.doesNotThrow(() => checkHeaders({ Authorization: 'Bearer x y', 'user-agent': 'mine', 'x-a': '' }));
  refused(() => checkSecret(''), 'secret');
  refused(() => checkSecret('x'.repeat(webhookLimits.secretCharacters + 1)), 'secret');
});
