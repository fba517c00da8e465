import t from 'tap';
import { until } from '../../gateway/world.ts';
import { harnessOf, startHarness } from './harness.ts';

t.test('a key answers what it made, whatever has changed since, on a process that never heard of it', async (t) => {
  const chat = await startHarness(t);
  const client = await chat.client();
  const [ann, ben] = [await chat.user(client, 'ann'), await chat.user(client, 'ben')];
  const room = await chat.room(ann.key);
  await chat.post(`/rooms/${room}/join`, {}, ben.key);
  const asked = (key: string, content: string) => ({
    as: ben.key,
    body: { room_id: room, content },
    headers: { 'idempotency-key': key },
  });
  const kept = await chat.call('POST', '/messages', asked('kept', 'stays'));
  const gone = await chat.call('POST', '/messages', asked('gone', 'goes'));
  t.strictSame([kept.status, gone.status], [201, 201]);
  const erased = gone.at('data.id') as string;
  t.equal((await chat.del(`/messages/${erased}`, ben.key)).status, 204);
  t.equal((await chat.post(`/rooms/${room}/leave`, {}, ben.key)).status, 200);
  await until(async () => (await chat.events('MessagesErased')) > 0);

  const anew = harnessOf(await chat.restart());
  const again = await anew.call('POST', '/messages', asked('kept', 'stays'));
  t.equal(again.status, 201, 'it may not post any more, and did');
  t.equal(again.at('data.id'), kept.at('data.id'));
  const tombstone = await anew.call('POST', '/messages', asked('gone', 'goes'));
  t.equal(tombstone.status, 201);
  t.match(tombstone.at('data'), {
    id: erased,
    room_id: room,
    sender_id: ben.id,
    created_at: gone.at('data.created_at'),
    is_deleted: true,
  });
  t.equal((await anew.call('POST', '/messages', asked('new', 'late'))).status, 403, 'a new key is refused');
});
