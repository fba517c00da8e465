/** Promise 2: positions rise, none twice, nothing missing, under any number of writers and processes. */
import { randomUUID } from 'node:crypto';
import type { Test } from 'tap';
import { type Log, NO_STREAM } from '../../../src/log/log.ts';
import { appendOne, commitTo, profile, runLoad } from '../../support/log-load.ts';
import { startWriter } from '../../support/log-writer.ts';
import type { LogAdapter } from './adapter.ts';
import { checkHistory, follow, mustBeWritten, openHandle, spell, tailToHead, writeStream } from './harness.ts';

export async function orderTests(t: Test, adapter: LogAdapter): Promise<void> {
  await t.test('order and completeness under writers in several handles and processes', async (t) => {
    const store = await adapter.fresh(t);
    const [one, two, idle] = [await openHandle(t, store), await openHandle(t, store), await openHandle(t, store)];
    const processes = await Promise.all([startWriter(t, store.target), startWriter(t, store.target)]);
    const followers = [one, two, idle].map((log) => follow(t, log));
    const late: ReturnType<typeof follow>[] = [];
    let acked = 0;
    const joinLate = (): void => {
      // Tails that begin in the middle of the writing, at a position that others have just seen.
      if (++acked % 40 === 0) for (const log of [one, idle]) late.push(follow(t, log, followers[0]?.position));
    };
    const load = { writers: 8, commitsPerWriter: 20, contended: 'contended' };
    const loads = await Promise.all([
      runLoad(one, { prefix: 'one', ...load }, joinLate),
      runLoad(two, { prefix: 'two', ...load }, joinLate),
      ...processes.map((writer, number) => writer.run({ prefix: `process-${number}`, ...load })),
    ]);
    const acks = loads.flat();
    let last = 0n;
    for (const { position } of acks) if (position > last) last = position;
    t.equal(await idle.head(), last, 'the head is the last position answered');
    await Promise.all([...followers, ...late].map((follower) => follower.reached(last)));
    const all = await tailToHead(t, idle);
    checkHistory(t, all, acks);
    const expected = all.map(spell);
    t.ok(late.length > 0, 'some tails began in the middle');
    for (const { events, faults } of [...followers, ...late]) {
      t.same(faults, [], 'positions rise, none twice');
      t.same(events.map(spell), expected.slice(expected.length - events.length), 'the same events in the same order');
    }
    t.equal(followers[0]?.events.length, all.length);
    for (const log of [one, idle]) {
      const from = all[Math.floor(all.length / 2)]?.position ?? 0n;
      t.same((await tailToHead(t, log, from)).map(spell), expected.slice(Math.floor(all.length / 2) + 1));
    }
  });

  await t.test('what was acknowledged is there for every reader at once', async (t) => {
    const store = await adapter.fresh(t);
    const [writer, reader] = [await openHandle(t, store), await openHandle(t, store)];
    let done = false;
    // Others ask for the head all the time: their answers, on the way when the append ends, are not this one's.
    const others = [1, 2].map(async () => {
      while (!done) await reader.head();
    });
    const behind: string[] = [];
    try {
      for (let i = 0; i < 200; i++) {
        const { position } = await writeStream(writer, `stream-${i}`);
        const [head, { events }] = await Promise.all([reader.head(), reader.read(`stream-${i}`)]);
        if (head < position) behind.push(`head ${head} after ${position}`);
        if (events.length !== 1) behind.push(`stream-${i} is not there`);
      }
    } finally {
      done = true;
      await Promise.all(others);
    }
    t.same(behind, []);
  });

  await t.test('page walks the same events as the tail', async (t) => {
    const store = await adapter.fresh(t);
    const log = await openHandle(t, store);
    t.same(await log.page(0n, 10), { events: [], position: 0n, atHead: true }, 'of an empty log');
    await runLoad(log, { prefix: 'load', writers: 5, commitsPerWriter: 6 });
    const all = (await tailToHead(t, log)).map(spell);
    for (const maxEvents of [1, 7, 1_000]) {
      t.same((await walk(t, log, maxEvents)).map(spell), all, `pages of ${maxEvents}`);
    }
    const third = await log.page(0n, 3);
    const rest = await log.page(third.position, 1_000);
    t.same([...third.events, ...rest.events].map(spell), all, 'a page begins where the one before it said');
    t.equal(rest.position, await log.head());
    t.equal(rest.atHead, true);
  });

  await t.test('count', async (t) => {
    const store = await adapter.fresh(t);
    const log = await openHandle(t, store);
    t.equal(await log.count(0n, 0n, 10), 0, 'of an empty log');
    await runLoad(log, { prefix: 'load', writers: 5, commitsPerWriter: 6 });
    const positions = (await log.page(0n, 1_000)).events.map(({ position }) => position);
    const head = await log.head();
    const [third = 0n, ninth = 0n] = [positions[2], positions[8]];
    t.equal(await log.count(0n, head, 1_000), positions.length);
    t.equal(await log.count(third, ninth, 1_000), 6);
    t.equal(await log.count(third, head, 5), 5, 'up to a bound');
    t.equal(await log.count(head, head, 5), 0);
    t.equal(await log.count(head, third, 5), 0, 'backwards');
  });

  await t.test('pages go past what was erased', async (t) => {
    const store = await adapter.fresh(t);
    const log = await openHandle(t, store);
    await writeStream(log, 'before');
    mustBeWritten(
      await appendOne(log, commitTo('erased', { events: Array.from({ length: 12 }, () => profile('gone')) })),
    );
    await writeStream(log, 'after');
    await log.erase(['erased']);
    for (const maxEvents of [1, 5, 1_000]) {
      const events = await walk(t, log, maxEvents);
      t.same(
        events.map((event) => event.stream),
        ['before', 'after'],
        `pages of ${maxEvents}`,
      );
    }
  });

  await t.test('head', async (t) => {
    const store = await adapter.fresh(t);
    const [log, other] = [await openHandle(t, store), await openHandle(t, store)];
    t.equal(await log.head(), 0n, 'of an empty log');
    const first = await writeStream(log, 'first');
    t.equal(await log.head(), first.position);
    const events = [profile('a'), profile('b')];
    const second = mustBeWritten(await appendOne(other, commitTo('second', { events })));
    t.equal(await log.head(), second.position);
    t.equal(
      (await appendOne(log, commitTo('second', { expected: NO_STREAM, commitId: randomUUID() }))).outcome,
      'conflict',
    );
    t.equal(await log.head(), second.position, 'a refused commit does not move it');
  });
}

/** All events, page by page. */
async function walk(t: Test, log: Log, maxEvents: number) {
  const events = [];
  for (let from = 0n; ; ) {
    const page = await log.page(from, maxEvents);
    if (page.events.length > maxEvents) t.fail(`a page of ${page.events.length} instead of ${maxEvents} at most`);
    events.push(...page.events);
    if (page.atHead) return events;
    if (page.position <= from) throw new Error(`the page after ${from} leads nowhere`);
    from = page.position;
  }
}
