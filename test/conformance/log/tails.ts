/** Tails: from anywhere, live, idle, across reconnects, ended by their signal; and closing a handle. */
import type { Test } from 'tap';
import { type Log, LogUnavailableError, type TailBatch } from '../../../src/log/log.ts';
import { type Ack, appendOne, commitTo, profile, runLoad } from '../../support/log-load.ts';
import { startWriter } from '../../support/log-writer.ts';
import type { LogAdapter } from './adapter.ts';
import { checkHistory, follow, mustBeWritten, openHandle, tailToHead, writeStream } from './harness.ts';

export async function tailTests(t: Test, adapter: LogAdapter): Promise<void> {
  await t.test('a tail begins after any position, history first, then live', async (t) => {
    const store = await adapter.fresh(t);
    const [log, other] = [await openHandle(t, store), await openHandle(t, store)];
    const early = follow(t, other);
    const three = commitTo('three', { events: [profile('0'), profile('1'), profile('2')] });
    mustBeWritten(await appendOne(log, three));
    await writeStream(log, 'one');
    const all = await tailToHead(t, log);
    t.equal(all.length, 4);
    for (const handle of [log, other]) {
      for (let after = 0; after < all.length; after++) {
        const events = await tailToHead(t, handle, all[after]?.position);
        t.same(
          events.map(({ position }) => position),
          all.slice(after + 1).map(({ position }) => position),
        );
      }
    }
    const fromHead = [log, other].map((handle) => follow(t, handle, all.at(-1)?.position));
    const fromMiddle = [log, other].map((handle) => follow(t, handle, all[1]?.position));
    await Promise.all([...fromHead, ...fromMiddle].map((follower) => follower.said()));
    const { position } = await writeStream(log, 'live');
    for (const follower of [...fromHead, ...fromMiddle, early]) {
      await follower.reached(position);
      t.same(follower.faults, []);
    }
    for (const { events } of fromHead)
      t.same(
        events.map(({ stream }) => stream),
        ['live'],
      );
    for (const { events } of fromMiddle)
      t.same(
        events.map(({ stream }) => stream),
        ['three', 'one', 'live'],
      );
    t.same(
      early.events.map(({ stream }) => stream),
      ['three', 'three', 'three', 'one', 'live'],
      'from before the first',
    );
  });

  await t.test('an idle tail says how far it is', async (t) => {
    const store = await adapter.fresh(t);
    const [log, other] = [await openHandle(t, store), await openHandle(t, store)];
    const empty = follow(t, other);
    await empty.said();
    t.equal(empty.position, 0n, 'of an empty log');
    await writeStream(log, 's');
    const head = await log.head();
    for (const handle of [log, other]) {
      const follower = follow(t, handle, head);
      for (let times = 0; times < 3; times++) {
        await follower.said();
        t.equal(follower.position, head);
      }
      t.same(follower.events, []);
    }
    await writeStream(other, 's2');
    await other.erase(['s2']);
    const after = await log.head();
    const follower = follow(t, log, head);
    await follower.reached(after);
    await follower.said();
    t.equal(follower.position, after, 'past what was erased');
    t.same(follower.events, []);
  });

  await t.test('a tail returns when its signal aborts', async (t) => {
    const log = await openHandle(t, await adapter.fresh(t));
    await writeStream(log, 's');
    for await (const batch of log.tail(0n, AbortSignal.abort()))
      t.fail(`aborted before it began, gave ${batch.position}`);
    const reading = new AbortController();
    const batches: TailBatch[] = [];
    for await (const batch of log.tail(0n, reading.signal)) {
      batches.push(batch);
      reading.abort();
    }
    t.equal(batches.length, 1, 'while it was being read');
    const waiting = new AbortController();
    const tail = log.tail(await log.head(), waiting.signal)[Symbol.asyncIterator]();
    await tail.next();
    const next = tail.next();
    waiting.abort();
    t.equal((await next).done, true, 'while it waited');
    for await (const _ of log.tail(0n, new AbortController().signal)) break;
    await writeStream(log, 'left by its reader, the log goes on');
  });

  await t.test('a slow reader holds up no other and misses nothing', async (t) => {
    const store = await adapter.fresh(t);
    const [log, other] = [await openHandle(t, store), await openHandle(t, store)];
    const stop = new AbortController();
    t.teardown(() => stop.abort());
    const slow = [log, other].map((handle) => handle.tail(0n, stop.signal)[Symbol.asyncIterator]());
    await writeStream(log, 'first');
    for (const tail of slow) await tail.next();
    const quick = follow(t, other);
    const acks = await runLoad(log, { prefix: 'load', writers: 40, commitsPerWriter: 30 });
    const head = await log.head();
    await quick.reached(head);
    checkHistory(
      t,
      quick.events.filter(({ stream }) => stream !== 'first'),
      acks,
    );
    for (const tail of slow) {
      const positions: bigint[] = [];
      for (let position = 0n; position < head; ) {
        const { value } = await tail.next();
        for (const event of value?.events ?? []) positions.push(event.position);
        position = value?.position ?? head;
      }
      const seen = quick.events.map((event) => event.position).slice(-positions.length);
      t.same(positions, seen);
      t.ok(positions.length >= quick.events.length - 1);
    }
  });

  await t.test(
    'broken connections: writers settle, and tails that resume lose nothing and repeat nothing',
    async (t) => {
      const store = await adapter.fresh(t);
      const [log, other] = [await openHandle(t, store), await openHandle(t, store)];
      const child = await startWriter(t, store.target);
      const followers = [log, other].map((handle) => follow(t, handle));
      let running = true;
      const acks: Ack[] = [];
      const load = { writers: 8, commitsPerWriter: 30 };
      const rounds = async (name: string, run: (prefix: string) => Promise<Ack[]>): Promise<void> => {
        for (let round = 0; running; round++) acks.push(...(await run(`${name}-${round}`)));
      };
      const writing = Promise.all([
        rounds('own', (prefix) => runLoad(log, { prefix, ...load })),
        rounds('child', (prefix) => child.run({ prefix, ...load })),
      ]);
      for (let breaks = 0; breaks < 5; breaks++) {
        // Each break meets tails that are reading and writers that are writing.
        await Promise.all(followers.map((follower) => follower.more()));
        await store.breakConnections();
      }
      running = false;
      await writing;
      const last = await log.head();
      await Promise.all(followers.map((follower) => follower.reached(last)));
      for (const { events, faults, resumptions } of followers) {
        t.comment(`${events.length} events, resumed ${resumptions} times`);
        t.same(faults, []);
        checkHistory(t, events, acks);
      }
    },
  );

  await t.test('close finishes what is being appended', async (t) => {
    const store = await adapter.fresh(t);
    const closing = await store.open();
    const commits = Array.from({ length: 50 }, (_, number) => commitTo(`s-${number}`));
    const tail = endOf(closing);
    const appended = commits.map((commit) => appendOne(closing, commit));
    const closed = closing.close();
    t.same(new Set((await Promise.all(appended)).map(({ outcome }) => outcome)), new Set(['written']));
    await closed;
    t.ok(['returned', 'unavailable'].includes(await tail), 'an open tail ends');
    t.equal((await appendOne(closing, commitTo('late'))).outcome, 'unknown', 'an append afterwards is not taken');
    const log = await openHandle(t, store);
    t.same(
      new Set((await tailToHead(t, log)).map(({ commitId }) => commitId)),
      new Set(commits.map((c) => c.commitId)),
    );
  });
}

/** Follows a tail that nobody aborts; resolves with how it ended. */
async function endOf(log: Log): Promise<string> {
  try {
    for await (const _ of log.tail(0n, new AbortController().signal));
    return 'returned';
  } catch (error) {
    return error instanceof LogUnavailableError ? 'unavailable' : String(error);
  }
}
