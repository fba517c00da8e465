/** Generated requests over ChatAPI's document; see `../fuzz-run.ts`. */
import t from 'tap';
import type { Document, Ground } from '../fuzz.ts';
import { fuzz } from '../fuzz-run.ts';
import { startHarness } from './harness.ts';

t.test('ChatAPI answers as its document says', async (t) => {
  const chat = await startHarness(t, {
    CHATAPI_MESSAGE_RATE_LIMIT: '0',
    CHATAPI_NOTIFICATION_RATE_LIMIT: '0',
    OUTBOUND_ALLOW_CIDRS: '127.0.0.0/8',
  });
  const client = await chat.client();
  const other = await chat.client('Other');
  const [ann, ben] = [await chat.user(client), await chat.user(client)];
  const rooms = [
    await chat.room(ann.key),
    await chat.room(ben.key),
    await chat.room(client.key),
    await chat.room(other.key),
  ];
  const [own = ''] = rooms;
  const messages = await Promise.all(['one', 'two', 'three'].map((content) => chat.message(ann.key, own, content)));
  // Nobody listens there: what is posted to it comes to nothing at once.
  const url = 'http://127.0.0.1:9/hook';
  const hook = async (key: string) =>
    (await chat.created('/webhooks', { url, events: ['client.updated'] }, key)).str('data.id');
  const webhooks = [await hook(client.key), await hook(client.key), await hook(other.key)];
  const notify = async (key: string, more: object = {}) =>
    (await chat.created('/notifications', { type: 'webhook', content: 'x', recipients: [url], ...more }, key)).str(
      'data.id',
    );
  const later = { scheduled_for: '2150-01-01T00:00:00Z' };
  const notifications = [await notify(client.key), await notify(client.key, later), await notify(other.key, later)];
  const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
  const keys = [bearer(client.key), bearer(client.key), bearer(ann.key), bearer(ann.key), bearer(ben.key)];
  const users = [ann.id, ben.id, (await chat.user(other)).id];
  const ground: Ground = {
    base: chat.url,
    credentials: { bearer: keys, apiKey: [{ 'x-api-key': ann.key }] },
    known: {
      room_id: rooms,
      message_id: messages,
      before_message_id: messages,
      reply_to_id: messages,
      user_id: [...users, 'profile'],
      sender_id: users,
      email: [ann.email, 'new@example.com', 'newer@example.com'],
      webhook_id: webhooks,
      notification_id: notifications,
      recipients: [url],
      room_filters: rooms,
      events: ['message.created', 'room.joined'],
      event: ['message.created'],
      url: [url, 'http://10.0.0.1/'],
      host: ['127.0.0.1', '10.0.0.1'],
      base_url: ['http://127.0.0.1:9/v3'],
      default_from_email: ['me@example.com'],
      region: ['us-east-1'],
      domain: ['mg.example.com'],
      delivery_id: [`del_${'0'.repeat(32)}`],
      from_position: ['0', '1'],
      since: ['2026-01-01T00:00:00Z'],
      message_type: ['text', 'image', 'mine'],
      sort: ['created_at', 'name'],
      start_date: ['2026-01-01', '2026-01-01T00:00:00Z'],
      end_date: ['2036-01-01'],
      page: ['1', '2'],
      size: ['1', '100'],
      q: ['one'],
      // A client or user that was switched off could do nothing more.
      is_active: ['true'],
    },
  };
  const document = (await (await fetch(`${chat.url}/openapi/chatapi.json`)).json()) as Document;
  const order = ({ path, method }: { path: string; method: string }) =>
    path.endsWith('/clients/me') && method === 'put' ? 3 : path.endsWith('/login') ? 2 : method === 'delete' ? 1 : 0;
  await fuzz(t, document, ground, { order, allowed: [503] });
});
