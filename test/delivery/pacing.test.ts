import t from 'tap';
import { Lane } from '../../src/delivery/lane.ts';
import { ChatPace, defaultPace, TokenBucket } from '../../src/delivery/pacing.ts';

/** Takes as fast as allowed for some time; answers the times. */
function takeFor(bucket: TokenBucket, forMs: number): number[] {
  const times: number[] = [];
  for (let now = 0; now < forMs; ) {
    const waitMs = bucket.waitMs(now);
    if (waitMs > 0) now += waitMs;
    else {
      bucket.take(now);
      times.push(now);
    }
  }
  return times;
}

t.test('a bucket keeps to its rate over any second', async (t) => {
  for (const rate of [1, 10, 30, 80, 0.5]) {
    const times = takeFor(new TokenBucket(rate), 20_000);
    const perSecond = times.length / 20;
    t.ok(perSecond > rate * 0.95 && perSecond <= rate * 1.1 + 1, `${rate}/s: ${perSecond}/s`);
    const most = Math.max(...times.map((from) => times.filter((at) => at >= from && at < from + 1_000).length));
    t.ok(most <= Math.max(1, rate * 1.1) + 1, `${rate}/s: ${most} in the fullest second`);
  }
});

t.test('0 is off', async (t) => {
  const bucket = new TokenBucket(0);
  for (let i = 0; i < 1_000; i++) bucket.take(0);
  t.equal(bucket.waitMs(0), 0);
  const chats = new ChatPace(0);
  chats.take('1', 0);
  t.equal(chats.waitMs('1', 0), 0);
});

t.test('each chat has a pace of its own', async (t) => {
  const chats = new ChatPace(1);
  chats.take('a', 0);
  t.equal(chats.waitMs('a', 400), 600);
  t.equal(chats.waitMs('b', 400), 0);
  t.equal(chats.waitMs('a', 1_000), 0);
});

const row = (to: string, dispatch = to) => ({
  dispatch,
  workspace: 3,
  connector: 1,
  connectorType: 'telegram' as const,
  template: 1,
  key: 1,
  owner: { workspace: 1, account: 1 },
  to,
  text: 'x',
  attempts: 0,
  due: 0,
  createdAt: 0,
  revision: 0,
});

t.test('a lane writes to another chat while one is not to be written to', async (t) => {
  const lane = new Lane(3, 1, 32, { ...defaultPace, perConnector: { ...defaultPace.perConnector, telegram: 0 } });
  for (const [to, id] of [
    ['a', '1'],
    ['a', '2'],
    ['b', '3'],
  ] as const)
    lane.add({ row: row(to, id), verify: false });
  const order: string[] = [];
  for (let now = 0; lane.readyCount > 0; ) {
    const next = lane.next(now);
    if (next === null) throw new Error('nothing to do');
    if ('waitMs' in next) now += next.waitMs;
    else {
      lane.begin(next.next, now);
      lane.end(next.next.row.dispatch);
      order.push(`${next.next.row.dispatch}@${now}`);
    }
  }
  t.same(order, ['1@0', '3@0', '2@1000']);
});

t.test('a lane that is throttled again and again pauses; an answer ends that', async (t) => {
  const lane = new Lane(3, 1, 32, defaultPace);
  const throttled = { outcome: 'throttled', error: 'slow', retryAfterMs: 5_000 } as const;
  for (let i = 0; i < 2; i++) lane.answered(throttled, 0, 5_000);
  t.equal(lane.pausedUntil, 0);
  t.equal(lane.limit, 1);
  lane.answered(throttled, 0, 5_000);
  lane.add({ row: row('a'), verify: false });
  t.same(lane.next(1_000), { waitMs: 4_000 });
  t.equal(lane.trust, 'suspect');
  lane.answered({ outcome: 'sent', externalId: '1', delivered: true }, 5_000, 0);
  t.equal(lane.trust, 'proven');
  lane.answered(throttled, 5_000, 60_000);
  t.equal(lane.pausedUntil, 5_000, 'it counts anew');
});
