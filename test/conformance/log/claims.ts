/** Claims: a name has one holder at a time (design section 4). */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import type { Claim, Log, Outcome } from '../../../src/log/log.ts';
import { appendOne, commitTo } from '../../support/log-load.ts';
import type { LogAdapter } from './adapter.ts';
import { mustBeWritten, openHandle, show } from './harness.ts';

const hourMs = 3_600_000;

export async function claimTests(t: Test, adapter: LogAdapter): Promise<void> {
  await t.test('taken: a name that another stream holds', async (t) => {
    const store = await adapter.fresh(t);
    const [log, other] = [await openHandle(t, store), await openHandle(t, store)];
    await claim(log, 'holder', { name: 'plain' }, { name: 'telling', made: '{"id":"ü😀\\u0000","n":1}' });
    const before = await log.head();
    for (const handle of [log, other]) {
      t.same(await tryClaim(handle, 'late', { name: 'plain' }), taken('plain', 'holder', null));
      t.same(
        await tryClaim(handle, 'late', { name: 'telling' }),
        taken('telling', 'holder', '{"id":"ü😀\\u0000","n":1}'),
      );
    }
    t.equal(await log.head(), before, 'nothing was written');
    t.same((await log.read('late')).events, []);
    mustBeWritten(await tryClaim(log, 'late', { name: 'another' }));
  });

  await t.test('a stream may claim what it holds', async (t) => {
    const log = await openHandle(t, await adapter.fresh(t));
    await claim(log, 'holder', { name: 'name' });
    mustBeWritten(await appendOne(log, commitTo('holder', { expected: 0, claims: [{ name: 'name' }] })));
    t.match(await tryClaim(log, 'late', { name: 'name' }), { outcome: 'taken', by: { stream: 'holder' } });
  });

  await t.test('of two names the second is taken: the first stays free', async (t) => {
    const log = await openHandle(t, await adapter.fresh(t));
    await claim(log, 'holder', { name: 'b' });
    for (const claims of [
      ['a', 'b'],
      ['b', 'c'],
    ]) {
      const outcome = await tryClaim(log, 'refused', ...claims.map((name) => ({ name })));
      t.same(outcome, taken('b', 'holder', null));
    }
    await claim(log, 'free', { name: 'a' }, { name: 'c' });
  });

  await t.test('a commit refused for its revision claims and releases nothing', async (t) => {
    const log = await openHandle(t, await adapter.fresh(t));
    await claim(log, 'holder', { name: 'held' });
    const refused = commitTo('holder', { expected: 7, claims: [{ name: 'wanted' }], releases: ['held'] });
    t.same(await appendOne(log, refused), { outcome: 'conflict', revision: 0 });
    await claim(log, 'other', { name: 'wanted' });
    t.match(await tryClaim(log, 'late', { name: 'held' }), { outcome: 'taken', by: { stream: 'holder' } });
    const taken = commitTo('holder', { expected: 0, claims: [{ name: 'wanted' }], releases: ['held'] });
    t.equal((await appendOne(log, taken)).outcome, 'taken');
    t.match(await tryClaim(log, 'late', { name: 'held' }), { outcome: 'taken', by: { stream: 'holder' } });
  });

  await t.test('a name is released by the stream that holds it, by no other', async (t) => {
    const store = await adapter.fresh(t);
    const [log, other] = [await openHandle(t, store), await openHandle(t, store)];
    await claim(log, 'holder', { name: 'name', made: 'first' });
    mustBeWritten(await appendOne(other, commitTo('stranger', { releases: ['name', 'unheard-of'] })));
    t.same(await tryClaim(log, 'late', { name: 'name' }), taken('name', 'holder', 'first'));
    mustBeWritten(
      await appendOne(log, commitTo('holder', { expected: 0, releases: ['name'], claims: [{ name: 'new' }] })),
    );
    await claim(other, 'next', { name: 'name', made: 'second' });
    t.same(await tryClaim(log, 'holder-2', { name: 'name' }), taken('name', 'next', 'second'));
    t.same(await tryClaim(log, 'holder-2', { name: 'new' }), taken('new', 'holder', null));
    // The first holder holds it no more, so it cannot let it go either.
    mustBeWritten(await appendOne(log, commitTo('holder', { expected: 1, releases: ['name'] })));
    t.match(await tryClaim(log, 'late', { name: 'name' }), { outcome: 'taken', by: { stream: 'next' } });
    mustBeWritten(await appendOne(log, commitTo('next', { expected: 0, releases: ['name'] })));
    mustBeWritten(await appendOne(log, commitTo('holder', { expected: 2, claims: [{ name: 'name', made: 'third' }] })));
    t.same(await tryClaim(other, 'late', { name: 'name' }), taken('name', 'holder', 'third'), 'claimed again');
  });

  await t.test('who holds a name, at a time', async (t) => {
    const store = await adapter.fresh(t);
    const [log, other] = [await openHandle(t, store), await openHandle(t, store)];
    const now = Date.now();
    const holders = async (at = now) => Promise.all(['plain', 'key', 'nobody'].map((name) => other.holder(name, at)));
    t.same(await holders(), [null, null, null]);
    await claim(log, 'holder', { name: 'plain' }, { name: 'key', made: 'an answer', atLeastUntil: now + hourMs });
    const key = { stream: 'holder', made: 'an answer' };
    t.same(await holders(), [{ stream: 'holder', made: null }, key, null]);
    mustBeWritten(await appendOne(log, commitTo('holder', { expected: 0, releases: ['plain'] })));
    t.same(await holders(), [null, key, null], 'what was let go');
    t.same(await holders(now + 2 * hourMs), [null, key, null], 'while the stream lives a key counts past its time');
    await log.erase(['holder']);
    t.same(await holders(), [null, key, null]);
    t.same(await holders(now + 2 * hourMs), [null, null, null], 'of an erased stream until its time has passed');
  });

  await t.test('erasure ends claims, but those of idempotency keys that have not passed', async (t) => {
    const store = await adapter.fresh(t);
    const [log, other] = [await openHandle(t, store), await openHandle(t, store)];
    const now = Date.now();
    await claim(
      log,
      'holder',
      { name: 'e-mail', made: 'account' },
      { name: 'old-key', made: 'old answer', atLeastUntil: now - 1_000 },
      { name: 'new-key', made: 'new answer', atLeastUntil: now + hourMs },
    );
    const oldKey = await tryClaim(other, 'late', { name: 'old-key' });
    t.same(oldKey, taken('old-key', 'holder', 'old answer'), 'while the stream lives a key counts past its time');
    await log.erase(['holder']);
    for (const handle of [log, other]) {
      const newKey = await tryClaim(handle, 'late', { name: 'new-key' });
      t.same(newKey, taken('new-key', 'holder', 'new answer'), 'it tells what was made');
    }
    await claim(other, 'next', { name: 'e-mail' }, { name: 'old-key', made: 'next answer' });
    t.same(await tryClaim(log, 'late', { name: 'old-key' }), taken('old-key', 'next', 'next answer'));
    await log.erase(['holder']);
    t.same(
      await tryClaim(log, 'late', { name: 'e-mail' }),
      taken('e-mail', 'next', null),
      'erased again: others keep theirs',
    );
  });

  await t.test('an idempotency key of an erased stream is free once its time has passed', async (t) => {
    const store = await adapter.fresh(t);
    const [log, other] = [await openHandle(t, store), await openHandle(t, store)];
    const atLeastUntil = Date.now() + 1_500;
    await claim(log, 'holder', { name: 'key', made: 'answer', atLeastUntil });
    await log.erase(['holder']);
    let meantime = 0;
    for (let attempt = 0; ; attempt++) {
      const outcome = await tryClaim(other, `late-${attempt}`, { name: 'key', made: 'next' });
      if (outcome.outcome === 'written') break;
      t.same(outcome, taken('key', 'holder', 'answer'));
      meantime++;
      await sleep(100);
    }
    t.ok(Date.now() > atLeastUntil, 'not before its time');
    t.ok(meantime > 0, 'held in the meantime');
    t.match(await tryClaim(log, 'later', { name: 'key' }), { outcome: 'taken', by: { made: 'next' } });
  });
}

function tryClaim(log: Log, stream: string, ...claims: readonly Claim[]): Promise<Outcome> {
  return appendOne(log, commitTo(stream, { claims }));
}

async function claim(log: Log, stream: string, ...claims: readonly Claim[]): Promise<void> {
  const outcome = await tryClaim(log, stream, ...claims);
  if (outcome.outcome !== 'written') throw new Error(`${stream} did not get its names: ${show(outcome)}`);
}

function taken(name: string, stream: string, made: string | null): Outcome {
  return { outcome: 'taken', name, by: { stream, made } };
}
