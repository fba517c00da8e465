/** Storage away: what cannot be known is `unknown`, readers are told, and everything goes on when it is back. */
import type { Test } from 'tap';
import { type Log, LogUnavailableError } from '../../../src/log/log.ts';
import { appendOne, commitTo, settle } from '../../support/log-load.ts';
import type { LogAdapter } from './adapter.ts';
import { follow, mustBeWritten, openHandle, show, tailToHead, writeStream } from './harness.ts';
import { startProxy } from './proxy.ts';

export async function outageTests(t: Test, adapter: LogAdapter): Promise<void> {
  await t.test('storage that cannot be reached: told as such, and found again', async (t) => {
    const store = await adapter.fresh(t);
    const direct = await openHandle(t, store);
    const proxy = await startProxy(t, store.address);
    const log = await store.openThrough(proxy.address);
    t.teardown(() => log.close());
    const follower = follow(t, log);
    await follower.reached((await writeStream(log, 'before')).position);
    const waiting = endOfTail(log, follower.position);
    await waiting.begun;
    proxy.cut();
    const commit = commitTo('meanwhile');
    t.equal((await appendOne(log, commit)).outcome, 'unknown');
    t.ok((await waiting.ended) instanceof LogUnavailableError, 'a tail that waits');
    await t.rejects(log.read('before'), { name: 'LogUnavailableError' }, 'read');
    await t.rejects(log.page(0n, 10), { name: 'LogUnavailableError' }, 'page');
    await t.rejects(log.head(), { name: 'LogUnavailableError' }, 'head');
    await t.rejects(log.erase(['before']), { name: 'LogUnavailableError' }, 'erase');
    await writeStream(direct, 'by another');
    proxy.restore();
    const answer = await settle(log, commit);
    t.ok(['written', 'replayed'].includes(answer.outcome), show(answer));
    await follower.reached(await direct.head());
    t.same(follower.faults, []);
    t.same(
      follower.events.map(({ stream }) => stream),
      ['before', 'by another', 'meanwhile'],
    );
    t.same((await log.read('before')).events.length, 1);
  });

  await t.test('an append held up on its way arrives late: it has one effect', async (t) => {
    const store = await adapter.fresh(t);
    const direct = await openHandle(t, store);
    const proxy = await startProxy(t, store.address);
    const log = await store.openThrough(proxy.address);
    t.teardown(() => log.close());
    mustBeWritten(await appendOne(log, commitTo('before', { claims: [{ name: 'name' }] })));
    proxy.hold();
    const asked = [commitTo('asked again'), commitTo('before', { expected: 0, releases: ['name'] })] as const;
    const abandoned = commitTo('abandoned');
    const outcomes = await log.append([...asked, abandoned]);
    t.same(
      outcomes.map(({ outcome }) => outcome),
      ['unknown', 'unknown', 'unknown'],
    );
    // Another process asks with the same commits and goes on; then what was held up arrives.
    const answers = await Promise.all(asked.map((commit) => settle(direct, commit)));
    t.same(
      answers.map(({ outcome }) => outcome),
      ['written', 'written'],
    );
    mustBeWritten(await appendOne(direct, commitTo('next', { claims: [{ name: 'name' }] })));
    proxy.restore();
    for (const [number, commit] of asked.entries()) {
      t.same(await settle(log, commit), { ...answers[number], outcome: 'replayed' });
    }
    t.match(await appendOne(log, commitTo('late', { claims: [{ name: 'name' }] })), {
      outcome: 'taken',
      by: { stream: 'next' },
    });
    const events = await tailToHead(t, direct);
    const times = (commitId: string) => events.filter((event) => event.commitId === commitId).length;
    t.same(
      asked.map(({ commitId }) => times(commitId)),
      [1, 1],
      'once each',
    );
    t.ok(times(abandoned.commitId) <= 1, 'what nobody asked again for is there or not');
  });
}

/** How a tail ends that nobody aborts; `begun` when it has said something. */
function endOfTail(log: Log, from: bigint): { begun: Promise<unknown>; ended: Promise<unknown> } {
  const tail = log.tail(from, new AbortController().signal)[Symbol.asyncIterator]();
  const begun = tail.next();
  const end = async (): Promise<unknown> => {
    try {
      while (!(await tail.next()).done);
      return 'returned';
    } catch (error) {
      return error;
    }
  };
  return { begun, ended: begun.then(end) };
}
