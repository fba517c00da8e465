/** Promise 12: from the return of `erase` on, nothing gives the stream's content; it is closed for ever. */
import { randomUUID } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Test } from 'tap';
import { type Log, LogUnavailableError, NO_STREAM, type RecordedEvent } from '../../../src/log/log.ts';
import { appendOne, commitTo, Follower, profile, settle } from '../../support/log-load.ts';
import type { LogAdapter, LogStore } from './adapter.ts';
import { follow, mustBeThere, mustBeWritten, openHandle, spell, tailToHead, writeStream } from './harness.ts';
import { startProxy } from './proxy.ts';

export async function erasureTests(t: Test, adapter: LogAdapter): Promise<void> {
  await t.test('an erased stream is empty, closed, and nothing else changes', async (t) => {
    const store = await adapter.fresh(t);
    const handles = [await openHandle(t, store), await openHandle(t, store)] as const;
    const [log, other] = handles;
    await writeStream(log, 'before');
    mustBeWritten(await appendOne(log, commitTo('erased', { events: [profile('0'), profile('1')] })));
    await writeStream(log, 'between');
    mustBeWritten(await appendOne(other, commitTo('erased', { expected: 1 })));
    await writeStream(other, 'after');
    const kept = (await tailToHead(t, log)).filter(({ stream }) => stream !== 'erased').map(spell);
    const head = await log.head();
    await log.erase(['erased']);
    await log.erase(['erased']);
    await other.erase(['erased']);
    await checkClosed(t, handles, 'erased', [NO_STREAM, 0, 2]);
    for (const handle of handles) {
      t.same((await handle.read('erased', 1)).closed, true, 'read from a revision on');
      t.same((await tailToHead(t, handle)).map(spell), kept, 'the others stand where they stood');
      t.same((await handle.page(0n, 1_000)).events.map(spell), kept);
      t.ok((await handle.head()) >= head, 'the head does not go back');
    }
    const { position } = await writeStream(log, 'afterwards');
    t.ok(position > head);
    const late = await openHandle(t, store);
    t.same((await tailToHead(t, late)).slice(0, -1).map(spell), kept, 'a handle opened later');
  });

  await t.test('a commit asked again after erasure is not written again', async (t) => {
    const log = await openHandle(t, await adapter.fresh(t));
    const commit = commitTo('erased');
    const { position } = mustBeWritten(await appendOne(log, commit));
    await log.erase(['erased']);
    const outcome = await appendOne(log, commit);
    if (outcome.outcome === 'replayed') t.equal(outcome.position, position);
    else t.equal(outcome.outcome, 'conflict');
    await checkClosed(t, [log], 'erased', [NO_STREAM]);
  });

  await t.test('a stream that never was is closed too', async (t) => {
    const store = await adapter.fresh(t);
    const handles = [await openHandle(t, store), await openHandle(t, store)] as const;
    await handles[0].erase(['unheard-of']);
    await handles[0].erase(['unheard-of']);
    await checkClosed(t, handles, 'unheard-of', [NO_STREAM, 0]);
    await writeStream(handles[1], 'another');
    t.same(
      (await tailToHead(t, handles[1])).map(({ stream }) => stream),
      ['another'],
    );
  });

  await t.test('tails that are running give nothing of it from the return on', async (t) => {
    const store = await adapter.fresh(t);
    const given: string[] = [];
    for (let round = 0; round < 12; round++) given.push(...(await eraseBesideTails(t, store, round)));
    t.same(given.slice(0, 10), []);
  });

  await t.test('a busy handle that lost its connections hears of it too', async (t) => {
    const store = await adapter.fresh(t);
    const [log, busy] = [await openHandle(t, store), await openHandle(t, store)];
    let done = false;
    let answered = 0;
    const writing = (async () => {
      while (!done) {
        await settle(busy, commitTo(`load-${answered}`));
        answered++;
      }
    })();
    const more = async (count: number): Promise<void> => {
      const until = answered + count;
      while (answered < until) await nextTurn();
    };
    const given: string[] = [];
    for (let round = 0; round < 5; round++) {
      await more(10);
      await store.breakConnections();
      await more(10);
      const { position } = mustBeThere(await settle(busy, commitTo(`before-${round}`)));
      await settle(busy, commitTo(`erased-${round}`));
      await eraseSurely(log, `erased-${round}`);
      const events = await tailToHead(t, busy, position);
      given.push(...events.filter(({ stream }) => stream === `erased-${round}`).map(spell));
    }
    done = true;
    await writing;
    t.same(given, []);
  });

  await t.test('a handle that is cut off gives nothing of what was erased meanwhile', async (t) => {
    const store = await adapter.fresh(t);
    const log = await openHandle(t, store);
    const proxy = await startProxy(t, store.address);
    const cutOff = await store.openThrough(proxy.address);
    t.teardown(() => cutOff.close());
    const { position } = await writeStream(log, 'before');
    const last = await writeStream(log, 'erased');
    const follower = follow(t, cutOff);
    // It has it in memory.
    await follower.reached(last.position);
    proxy.hold();
    await log.erase(['erased']);
    const tail = cutOff.tail(position, new AbortController().signal)[Symbol.asyncIterator]();
    await t.rejects(tail.next(), LogUnavailableError, 'its memory is not to be trusted');
    proxy.restore();
    t.same(await tailToHead(t, cutOff, position), []);
    await follower.reached((await writeStream(log, 'after')).position);
    t.same(
      follower.events.map(({ stream }) => stream),
      ['before', 'erased', 'after'],
    );
  });

  await t.test('erasing beside writers: none of their answers survives it', async (t) => {
    const store = await adapter.fresh(t);
    const [log, other] = [await openHandle(t, store), await openHandle(t, store)];
    const followers = [log, other].map((handle) => follow(t, handle));
    for (let round = 0; round < 10; round++) {
      const stream = `contended-${round}`;
      const writers = [log, other].map((handle) => writeUntilClosed(handle, stream));
      await followers[1]?.said();
      await log.erase([stream]);
      await arrivals([log, other]);
      const seen = followers.map(({ events }) => events.length);
      await checkClosed(t, [log, other], stream, [NO_STREAM, 0]);
      await Promise.all(writers);
      const { position } = await writeStream(log, `mark-${round}`);
      for (const [number, follower] of followers.entries()) {
        await follower.reached(position);
        const late = follower.events.slice(seen[number]).filter((event) => event.stream === stream);
        t.same(late, [], 'no tail gives an event of it afterwards');
      }
      t.same(
        (await tailToHead(t, other)).filter((event) => event.stream === stream),
        [],
      );
    }
  });
}

/** Appends to a stream, in competition, until it is closed. */
async function writeUntilClosed(log: Log, stream: string): Promise<void> {
  for (let expected = NO_STREAM; ; ) {
    const outcome = await appendOne(log, commitTo(stream, { expected }));
    if (outcome.outcome === 'written') expected = outcome.revision;
    else if (outcome.outcome === 'conflict') {
      const { closed, revision } = await log.read(stream);
      if (closed) return;
      expected = revision;
    } else throw new Error(`${outcome.outcome} in the middle of writing`);
  }
}

/**
 * What a running tail had read before an erasure may still be on its way to it when another handle's `erase` returns. One
 * question and answer later it has arrived.
 */
async function arrivals(handles: readonly Log[]): Promise<void> {
  await Promise.all(handles.map((handle) => handle.head()));
  await nextTurn();
}

/** Erases, also when the connections were just cut. */
async function eraseSurely(log: Log, stream: string): Promise<void> {
  for (;;) {
    try {
      return await log.erase([stream]);
    } catch (error) {
      if (!(error instanceof LogUnavailableError)) throw error;
    }
  }
}

/**
 * One round: a handle erases while others have tails in every posture: one not read since before the stream was
 * written, one in the middle of it, one waiting at the head. Answers what they gave of it when asked after the return.
 */
async function eraseBesideTails(t: Test, store: LogStore, round: number): Promise<string[]> {
  const handles = [await store.open(), await store.open(), await store.open()] as const;
  const [log] = handles;
  const stream = `erased-${round}`;
  const stop = new AbortController();
  try {
    const { position: start } = await writeStream(log, `start-${round}`);
    const { position: before } = await writeStream(log, `before-${round}`);
    const paused = handles.map((handle) => handle.tail(start, stop.signal)[Symbol.asyncIterator]());
    for (const tail of paused) await tail.next();
    const live = handles.map((handle) => new Follower(handle, before));
    mustBeWritten(await appendOne(log, commitTo(stream, { events: Array.from({ length: 5 }, () => profile('gone')) })));
    // Some rounds erase what the tails of other handles have just seen, others what they are about to see.
    const middle = await log.head();
    if (round % 2 === 0) await Promise.all(live.map((follower) => follower.reached(middle)));
    await log.erase([stream]);
    const given: string[] = [];
    const note = (by: string, events: readonly RecordedEvent[]): void => {
      const count = events.filter((event) => event.stream === stream).length;
      if (count > 0) given.push(`round ${round}: ${count} events by ${by}`);
    };
    const fresh = handles.map((handle) => handle.tail(before, stop.signal)[Symbol.asyncIterator]());
    const looks = await Promise.all([...paused, ...fresh].map((tail) => tail.next()));
    for (const [number, { value }] of looks.entries()) {
      const posture = number < handles.length ? 'a paused tail' : 'a new tail';
      note(`${posture} of handle ${number % handles.length}`, value?.events ?? []);
    }
    await arrivals(handles);
    const seen = live.map(({ events }) => events.length);
    const { position } = await writeStream(log, `after-${round}`);
    for (const [number, follower] of live.entries()) {
      await follower.reached(position);
      note(`the running tail of handle ${number}`, follower.events.slice(seen[number]));
      await follower.stop();
    }
    for (const [number, handle] of handles.entries()) {
      note(`a later tail of handle ${number}`, await tailToHead(t, handle, before));
    }
    return given;
  } finally {
    stop.abort();
    await Promise.all(handles.map((handle) => handle.close()));
  }
}

async function checkClosed(
  t: Test,
  handles: readonly Log[],
  stream: string,
  expecteds: readonly number[],
): Promise<void> {
  for (const handle of handles) {
    t.match(await handle.read(stream), { events: [], closed: true }, `${stream} is closed`);
    for (const expected of expecteds) {
      const outcome = await appendOne(handle, commitTo(stream, { expected, commitId: randomUUID() }));
      t.equal(outcome.outcome, 'conflict', `expected at ${expected}`);
    }
    const { revision } = await handle.read(stream);
    const { outcome } = await appendOne(handle, commitTo(stream, { expected: revision }));
    t.equal(outcome, 'conflict', 'expected where it is');
  }
}
