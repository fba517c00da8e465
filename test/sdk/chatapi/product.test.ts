/** The SDK against the whole product: every route of the dialect's document is called, and answers as its types say. */
import t, { type Test } from 'tap';
import { ChatAPI } from '../../../src/sdk/chatapi/node.ts';
import { type Got, receiver } from '../../delivery/webhooks/receiver.ts';
import { type Harness, startHarness } from '../../dialects/chatapi/harness.ts';
import { errorOf } from './outcomes.ts';

const unknown = '00000000-0000-4000-8000-000000000000';

t.test('the product', async (t) => {
  const product = await startHarness(t, {
    OUTBOUND_ALLOW_CIDRS: '127.0.0.0/8',
    WEBHOOK_RETRY_SCHEDULE: '100ms,100ms,100ms,100ms',
    NOTIFICATION_RETRY_SCHEDULE: '10ms',
    CHATAPI_MESSAGE_RATE_LIMIT: '0',
  });
  const config = { baseUrl: `${product.url}/api/v1/` };
  const called = recordCalls(t, product);
  const { master_api_key: key, ...client } = await new ChatAPI(null, config).clients.create({ name: 'Acme' });
  const server = new ChatAPI(key, config);

  t.test('clients and users', async (t) => {
    t.ok(await server.health());
    t.match(await server.clients.me(), { ...client, name: 'Acme' });
    t.match(await server.clients.update({ description: 'Anvils' }), { description: 'Anvils' });
    const ada = await server.users.create({ email: 'ada@example.com', username: 'ada', full_name: 'Ada' });
    t.match(ada, { email: 'ada@example.com', scoped_api_key: /^sk_user_/ });
    const again = new ChatAPI(key, config);
    const idempotencyKey = 'one and the same';
    const bob = { email: 'bob@example.com', username: 'bob' };
    const made = [
      await server.users.create(bob, { idempotencyKey }),
      await again.users.create(bob, { idempotencyKey }),
    ];
    t.same(made[1], made[0], 'the same key makes the same user');
    t.match(await server.users.get(ada.id), { username: 'ada', full_name: 'Ada' });
    t.match(await server.users.update(ada.id, { full_name: 'Ada L.' }), { full_name: 'Ada L.' });
    const { scoped_api_key: own } = await server.users.login('ada@example.com');
    const chat = new ChatAPI(own, config);
    t.match(await chat.users.update('profile', { username: 'lovelace' }), { username: 'lovelace' });
    t.match(await chat.clients.me(), { id: client.id, scoped_key: { user_id: ada.id } });
    const { data, pagination } = await server.users.list({ size: 1, sort: 'email', order: 'asc' });
    t.match([data, pagination], [[{ email: 'ada@example.com' }], { page: 1, total: 2, has_next: true }]);
    const all: string[] = [];
    for await (const { email } of server.users.list({ size: 1, sort: 'email', order: 'asc' })) all.push(email);
    t.same(all, ['ada@example.com', 'bob@example.com'], 'every page');
    t.equal(await server.users.delete(made[0]?.id ?? ''), undefined);
    t.match(await errorOf(server.users.get(made[0]?.id ?? '')), { code: 'RESOURCE_NOT_FOUND', status: 404 });
    t.match(await errorOf(server.users.create({ email: 'x', username: 'x' })), {
      name: 'ChatAPIError',
      message: 'Validation error in request data',
      code: 'VALIDATION_ERROR',
      status: 422,
      errors: [{ field: 'email', message: 'Invalid email format' }],
    });
    t.match(await errorOf(chat.users.list()), { code: 'INSUFFICIENT_PERMISSIONS', status: 403 });
  });

  t.test('rooms and messages', async (t) => {
    const [ann, ben] = [await product.user({ id: client.id, key }, 'ann'), await product.user({ id: '', key }, 'ben')];
    const [chat, other] = [new ChatAPI(ann.key, config), new ChatAPI(ben.key, config)];
    const room = await chat.rooms.create({ name: 'Tea', meta: { biscuits: true } });
    t.match(room, { name: 'Tea', room_type: 'group', participant_count: 1 });
    t.match(await other.rooms.join(room.id, { meta: { cup: 1 } }), { room_id: room.id, user_id: ben.id });
    t.match(await chat.rooms.memberRole(room.id, ben.id), { role: 'member' });
    t.match(await other.rooms.leave(room.id), { user_id: ben.id });
    t.match(await chat.rooms.addMember(room.id, { user_id: ben.id, role: 'admin' }), { role: 'admin' });
    t.match((await chat.rooms.members(room.id)).data, [{ role: 'owner' }, { user_id: ben.id }]);
    t.match((await chat.rooms.participants(room.id, { size: 1 })).pagination, { total: 2 });
    t.same(await chat.rooms.online(room.id), { online_users: [], total_online: 0 });
    t.match(await chat.rooms.update(room.id, { name: 'Coffee' }), { name: 'Coffee' });
    t.match((await chat.rooms.list({ search: 'coff' })).data, [{ id: room.id }]);
    t.match(await server.rooms.deactivate(room.id, 'cleaning'), { deactivated_reason: 'cleaning' });
    t.match(await server.rooms.activate(room.id), { is_active: true });
    t.match((await server.rooms.all()).data, [{ id: room.id }]);

    const hello = await chat.messages.send({ room_id: room.id, content: 'Hello' });
    t.match(hello, { sender_id: ann.id, content: 'Hello' });
    t.ok(BigInt(chat.position ?? 0) > 0n);
    const named = await server.messages.send({ room_id: room.id, content: 'Welcome', sender_name: 'Desk' });
    t.match((await other.messages.unread(room.id)).data, [{ id: hello.id }, { id: named.id }]);
    t.match(await other.messages.markRead(room.id, hello.id), { message_id: hello.id });
    t.match((await other.messages.latest(room.id, { limit: 1 })).data, [{ sender_name: 'Desk' }]);
    t.match(await chat.messages.update(hello.id, { content: 'Hello!' }), { is_edited: true });
    t.match(await other.messages.get(hello.id), { content: 'Hello!' });
    const day = new Date(Date.now() - 60_000);
    t.match((await chat.messages.list({ room_id: room.id, search: 'ello', start_date: day })).data, [{ id: hello.id }]);
    t.match((await chat.messages.search('WELC', { order: 'asc' })).data, [{ id: named.id }]);
    await chat.messages.delete(hello.id);
    t.match(await errorOf(other.messages.delete(named.id)), { code: 'INSUFFICIENT_PERMISSIONS' });
    await chat.rooms.removeMember(room.id, ben.id);
    t.match(await errorOf(other.rooms.get(room.id)), { status: 403 });
    await server.rooms.delete(room.id);
    const reader = new ChatAPI(key, { ...config, consistentReads: true });
    await reader.rooms.create({ name: 'Seen' });
    t.match((await reader.rooms.list()).data, [{ name: 'Seen' }], 'a read waits for what was written');
  });

  t.test('e-mail providers and notifications', async (t) => {
    const smtp = { provider_type: 'smtp', host: '127.0.0.1', port: 2525, username: 'u', password: 'p' } as const;
    const provider = { provider_config: smtp, default_from_email: 'a@example.com' };
    t.match(await server.emailProviders.set(provider), { provider_count: 1 });
    t.match(await server.emailProviders.set([provider]), { provider_count: 1 });
    t.match(await server.emailProviders.list(), { provider_configs: [{ provider_type: 'smtp' }], total_count: 1 });
    t.match(await server.emailProviders.validate(), {
      all_valid: false,
      validation_results: { smtp: { valid: false } },
    });
    t.match(await server.emailProviders.validate([provider]), { all_valid: false });

    const mail = { type: 'email', subject: 'Hi', content: 'Hi', to_email: 'x@example.com' } as const;
    const later = await server.notifications.create({ ...mail, scheduled_for: new Date(Date.UTC(2150, 0)) });
    t.match(later, { status: 'pending', scheduled_for: /^2150-01-01T00:00:00/ });
    t.match(await server.notifications.update(later.id, { priority: 'high' }), { priority: 'high' });
    t.match((await server.notifications.list({ type: 'email', status: 'pending' })).data, [{ id: later.id }]);
    t.match(await server.notifications.cancel(later.id), { status: 'cancelled' });
    t.match(await errorOf(server.notifications.retry(later.id)), { code: 'BAD_REQUEST', status: 400 });
    t.match(await server.notifications.get(later.id), { delivery_attempts: [] });
    t.match(await server.notifications.analytics({ type: 'email' }), { by_status: { cancelled: 1 } });
  });

  t.test('webhooks', async (t) => {
    const contentOf = ({ body }: Got) => (body.data as { content?: unknown }).content;
    const target = await receiver(t, (got) => (contentOf(got) === 'bad' ? 500 : 200));
    const came = (content: string) => target.got.filter((got) => contentOf(got) === content).length;
    const made = await server.webhooks.create({ url: target.url, events: ['message.created'] });
    t.match(made, { secret: /^whsec_/, is_active: true });
    const { id } = made;
    t.match((await server.webhooks.list({ event: 'message.created', is_active: true })).data, [{ id }]);
    t.match(await server.webhooks.update(id, { meta: { mine: 1 } }), { meta: { mine: 1 } });
    t.match(await server.webhooks.test(id), { success: true, status_code: 200 });
    const { id: room_id } = await server.rooms.create({ name: 'Told' });
    await server.messages.send({ room_id, content: 'bad' });
    for (let attempt = 1; attempt <= 5; attempt++) {
      await target.until(() => came('bad') >= attempt);
      // Others are taken meanwhile: it stays active.
      await server.messages.send({ room_id, content: `good ${attempt}` });
      await target.until(() => came(`good ${attempt}`) > 0);
    }
    for (;;) {
      const [letter] = (await server.webhooks.deadLetters(id)).data;
      if (letter === undefined) continue;
      t.match(letter, { event: 'message.created', attempts: 5, status_code: 500 });
      t.match(await server.webhooks.redrive(id, letter.delivery_id), { delivery_id: letter.delivery_id });
      break;
    }
    t.match(await server.webhooks.replay(id, { since: new Date(0) }), { webhook_id: id, until: null });
    t.match(await server.webhooks.replay(id, { from_position: '0' }), { from_position: '0' });
    t.match(await server.webhooks.analytics(id), { webhook_id: id, dead_letters: Number });
    t.match(await server.webhooks.deactivate(id), { is_active: false });
    t.match(await server.webhooks.activate(id), { is_active: true });
    t.match(await server.webhooks.get(id), { id, url: target.url });
    await server.webhooks.delete(id);
    t.match(await errorOf(server.webhooks.get(unknown)), { code: 'RESOURCE_NOT_FOUND' });
  });

  t.test('there is a method for every route', async (t) => {
    const { paths } = (await (await fetch(`${product.url}/openapi/chatapi.json`)).json()) as {
      paths: Record<string, object>;
    };
    /** The socket; other spellings of a route; what is done by another method of the same effect. */
    const left = /^(GET \/websocket\/open|\w+ \/clients\/me\/email-providers.*|DELETE \/notifications\/.*)$/;
    const routes = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replace('/api/v1', '')}`),
    );
    const missing = routes.filter((route) => !left.test(route) && !called.some((call) => matches(route, call)));
    t.same(missing, []);
    t.ok(routes.length > 40);
  });
});

/** Every request that goes through the global `fetch`, as `GET /path`, below the address of the API. */
function recordCalls(t: Test, { url }: Harness): string[] {
  const called: string[] = [];
  const { fetch } = globalThis;
  const base = `${url}/api/v1`;
  globalThis.fetch = (input, init) => {
    if (String(input).startsWith(base)) called.push(`${init?.method} ${String(input).slice(base.length)}`);
    return fetch(input, init);
  };
  t.teardown(() => {
    globalThis.fetch = fetch;
  });
  return called;
}

/** True when a call is one of a route such as `GET /rooms/{room_id}`. */
function matches(route: string, call: string): boolean {
  return new RegExp(`^${route.replace(/\{\w+\}/g, '[^/]+')}/?$`).test(call.split('?')[0] ?? '');
}
