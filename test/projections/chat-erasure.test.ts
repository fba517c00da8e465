import t from 'tap';
import { checkEvent } from '../../schemas/index.ts';
import { makeChat } from './chat-history.ts';
import { randomOf } from './history.ts';
import { cut, rowsFrom, scratchDatabase, seedOf } from './scratch.ts';

const histories = 4;
const length = 400;

t.test('the histories hold to the schemas', async (t) => {
  const chat = makeChat(seedOf(t), length);
  chat.eraseEverything();
  for (const event of chat.recorded()) checkEvent(event);
  const types = new Set(chat.recorded().map(({ type }) => type));
  for (const type of ['MessagesErased', 'RoomErased', 'AccountErased', 'HistoryHidden', 'ReceiptRecorded'] as const) {
    t.ok(types.has(type), `${type} happens`);
  }
});

t.test('rows do not depend on how the history is cut into batches', async (t) => {
  const client = await scratchDatabase(t);
  const seed = seedOf(t);
  for (let i = 0; i < 2; i++) {
    const random = randomOf(seed + i);
    const events = makeChat(seed + i, length).recorded();
    const whole = await rowsFrom(client, `whole${i}`, [events]);
    t.ok(whole.messages?.length && whole.watermarks?.length && whole.devices?.length, 'there is something of each');
    t.same(await rowsFrom(client, `single${i}`, cut(random, events, 1)), whole, `event by event, ${seed + i}`);
    t.same(await rowsFrom(client, `cut${i}`, cut(random, events, 40)), whole, `in batches, ${seed + i}`);
  }
});

t.test('history with its erasures and blanked history give the same rows', async (t) => {
  const client = await scratchDatabase(t);
  const seed = seedOf(t);
  for (let i = 0; i < histories; i++) {
    const random = randomOf(seed + i);
    const chat = makeChat(seed + i, length);
    const events = chat.recorded();
    const kept = await rowsFrom(client, `kept${i}`, cut(random, events, 60));
    const all = new Set(chat.erasable);
    const blanked = events.filter(({ stream }) => !all.has(stream));
    t.ok(blanked.length < events.length, 'something was blanked');
    t.same(await rowsFrom(client, `blanked${i}`, cut(random, blanked, 60)), kept, `all of it blanked, ${seed + i}`);
    const some = new Set(chat.erasable.filter(() => random() < 0.5));
    const half = events.filter(({ stream }) => !some.has(stream));
    t.same(await rowsFrom(client, `half${i}`, cut(random, half, 60)), kept, `some of it blanked, ${seed + i}`);
  }
});

t.test('events "erased" alone give the rows of the whole history', async (t) => {
  const client = await scratchDatabase(t);
  const seed = seedOf(t);
  const random = randomOf(seed);
  const chat = makeChat(seed, length);
  chat.eraseEverything();
  const events = chat.recorded();
  const whole = await rowsFrom(client, 'whole', cut(random, events, 50));
  const { messages, memberships, watermarks, message_receipts, message_hidings, account_names } = whole;
  t.notOk(
    messages?.some((row) => row.includes('"erased": false')),
    'every message is a tombstone',
  );
  t.same([memberships, watermarks, message_receipts, message_hidings, account_names], [[], [], [], [], []]);
  const texts = JSON.stringify([whole.messages, whole.rooms, whole.accounts, whole.devices]);
  t.notMatch(
    texts,
    /text of|edited \d|Room \d|talk|colour|Name|Example|phone \d|Clerk|user\d/,
    'nothing that was said is left',
  );
  // Receipts, watermarks and workspaces hold nothing that is erased.
  const alone = events.filter(({ stream }) => /^(erased|receipts|watermark|workspace)-/.test(stream));
  t.same(await rowsFrom(client, 'alone', cut(random, alone, 50)), whole);
});

t.test('events "erased" that are seen before some of what they erase', async (t) => {
  const client = await scratchDatabase(t);
  const seed = seedOf(t);
  for (let i = 0; i < histories; i++) {
    const random = randomOf(seed + i);
    const chat = makeChat(seed + i, length);
    chat.eraseEverything();
    const events = chat.recorded();
    const whole = await rowsFrom(client, `whole${i}`, cut(random, events, 50));
    // As from partitions of their own: each event "erased" somewhere earlier, the order of every stream kept.
    const late = events.map((event, index) => ({
      event,
      place: event.stream.startsWith('erased-') ? random() * index : index,
    }));
    const mixed = late.sort((a, b) => a.place - b.place).map(({ event }) => event);
    t.same(await rowsFrom(client, `mixed${i}`, cut(random, mixed, 50)), whole, `seed ${seed + i}`);
  }
});
