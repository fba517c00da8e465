/** The sockets of a fault run go on from where they were, and what they were told of is counted. */
import t from 'tap';
import { startHarness } from '../../dialects/chatapi/harness.ts';
import { quietPort } from '../processes.ts';
import { seededRandom } from '../random.ts';
import { isKept } from './frames.ts';
import { FaultProxy } from './proxy.ts';
import { Room } from './room.ts';

t.test('what is posted while the way to the sockets is away comes when it is back, once', async (t) => {
  const chat = await startHarness(t, { CHATAPI_MESSAGE_RATE_LIMIT: '0', CHATAPI_MAX_CONNECTIONS: '0' });
  const proxy = new FaultProxy(await quietPort(seededRandom(1, 'room')), () => Number(new URL(chat.url).port));
  await proxy.back();
  t.teardown(() => proxy.close());
  const room = await Room.open({ bases: [chat.url], socketPort: proxy.port });
  t.teardown(() => room.close());
  const inAMinute = () => Date.now() + 60_000;
  t.type(await room.recovers(Date.now(), inAMinute()), 'number');
  await proxy.away();
  const recovered = room.recovers(Date.now(), inAMinute());
  while (room.frames.acknowledged < 2) await new Promise((resolve) => setImmediate(resolve));
  t.notOk(room.frames.isComplete);
  await proxy.back();
  t.type(await recovered, 'number');
  room.start();
  await room.recovers(Date.now(), inAMinute());
  await room.stop();
  await room.settled();
  t.ok(room.frames.isComplete);
  t.ok(isKept(room.frames.verdict()));
  t.match(room.told, /\d+ messages in \d+ frames over 4 sockets \(connections ended: \d+ by 1006\)/);
  t.same(room.problems, []);
});
