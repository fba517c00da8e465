import t from 'tap';
import type { RecordedEvent } from '../../../schemas/index.ts';
import type { Ripe } from '../../../src/delivery/webhooks/ripe.ts';
import { positionBefore, Scanner } from '../../../src/delivery/webhooks/scanner.ts';
import { testDialect } from './world.ts';

/** A log of templates of one workspace, one millisecond and one position apart, without those at `gaps`. */
function history(length: number, gaps: (position: number) => boolean = () => false) {
  const at = (position: number) => 1_000_000 + position;
  const recorded = (position: number) =>
    ({
      type: 'TemplateCreated',
      data: { workspace: 7, template: position, name: '', connectorType: 'twilio', content: '', variables: [] },
      position: BigInt(position),
      stream: `template-7-${position}`,
      revision: 0,
      commitId: '00000000-0000-4000-8000-000000000000',
      index: position,
      at: at(position),
      meta: {},
    }) satisfies RecordedEvent;
  let pages = 0;
  return {
    at,
    get pages() {
      return pages;
    },
    head: async () => BigInt(length),
    async page(from: bigint, most: number) {
      pages++;
      const last = Math.min(length, Number(from) + most);
      const events: RecordedEvent[] = [];
      for (let position = Number(from) + 1; position <= last; position++)
        if (!gaps(position)) events.push(recorded(position));
      return { events, position: BigInt(last), atHead: last === length };
    },
  };
}

function taker(taken: bigint, space = 2_000) {
  const { promise, resolve } = Promise.withResolvers<{ events: readonly Ripe[]; upTo: bigint }>();
  const offer = (events: readonly Ripe[], upTo: bigint) => resolve({ events, upTo });
  return { workspace: 7, taken, space, promise, offer };
}

function scanner(log: ReturnType<typeof history>, until = async () => {}) {
  const { signal } = new AbortController();
  const onTrouble = (error: unknown) => {
    throw error;
  };
  return new Scanner({ history: log, dialect: testDialect, reached: { until }, signal, onTrouble });
}

t.test('one page serves all whom it can, and nobody loses what stands before it', async (t) => {
  const log = history(1_500);
  const scans = scanner(log);
  const [first, second, late] = [taker(1_000n), taker(1_200n), taker(10n)];
  scans.want(first);
  scans.want(second);
  // The page for these two is on its way.
  await Promise.resolve();
  await Promise.resolve();
  scans.want(late);
  const answers = await Promise.all([first.promise, second.promise, late.promise]);
  t.same(
    answers.map(({ events, upTo }) => [events[0]?.position, upTo]),
    [
      [1_001n, 1_500n],
      [1_001n, 1_500n],
      [11n, 1_010n],
    ],
  );
  t.equal(log.pages, 2);
});

t.test(
  'of a page as much is rendered as those who want it have room for, and nobody is told of the rest as if it were nothing',
  async (t) => {
    const log = history(1_500);
    const scans = scanner(log);
    const [small, smaller, beyond] = [taker(1_000n, 64), taker(1_000n, 10), taker(1_200n, 64)];
    for (const each of [small, smaller, beyond]) scans.want(each);
    const answers = await Promise.all([small.promise, smaller.promise, beyond.promise]);
    t.same(
      answers.map(({ events, upTo }) => [events[0]?.position, events.length, upTo]),
      [
        [1_001n, 64, 1_064n],
        [1_001n, 64, 1_064n],
        [1_201n, 64, 1_264n],
      ],
    );
  },
);

t.test('who gives something back while the page is rendered gets that again', async (t) => {
  const one = { ...taker(1_000n), taken: 1_000n };
  const scans = scanner(history(1_500), async () => {
    one.taken = 900n;
  });
  scans.want(one);
  const { events, upTo } = await one.promise;
  t.same([events[0]?.position, events.length, upTo], [901n, 600, 1_500n]);
});

t.test('who asks at whatever moment after an answer is answered', async (t) => {
  for (let turns = 0; turns < 8; turns++) {
    const scans = scanner(history(1_500));
    const [first, second] = [taker(1_000n), taker(1_200n)];
    const offer = async (events: readonly Ripe[], upTo: bigint) => {
      first.offer(events, upTo);
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      scans.want(second);
    };
    scans.want({ ...first, offer });
    t.equal((await second.promise).upTo, 1_500n, `${turns} turns after`);
  }
});

t.test('the position before a time, with what was erased on the way', async (t) => {
  const whole = history(100_000);
  for (const position of [0, 1, 70_000, 99_999, 200_000]) {
    const found = await positionBefore(whole, whole.at(position) + 60_000);
    t.ok(found <= BigInt(position), `${found} before ${position}`);
    t.ok(BigInt(Math.min(position, 100_000)) - found <= 1_001n, `${found} close to ${position}`);
  }
  const gappy = history(100_000, (position) => position > 20_000 && position < 90_000);
  const found = await positionBefore(gappy, gappy.at(90_000) + 60_000);
  t.ok(found <= 89_999n && found >= 19_000n, String(found));
});
