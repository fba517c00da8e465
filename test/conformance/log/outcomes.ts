/** How an append ends: `written`, `conflict`, `replayed`, and what is refused before anything is written. */
import type { Test } from 'tap';
import {
  type Commit,
  type Log,
  maxCommitBytes,
  maxEventBytes,
  NO_STREAM,
  TooLargeError,
} from '../../../src/log/log.ts';
import { appendOne, commitTo, profile } from '../../support/log-load.ts';
import type { LogAdapter } from './adapter.ts';
import { mustBeWritten, openHandle, show, tailToHead, writeStream } from './harness.ts';

export async function outcomeTests(t: Test, adapter: LogAdapter): Promise<void> {
  await t.test('a stream is written at the revision it was expected at, and nowhere else', async (t) => {
    const log = await openHandle(t, await adapter.fresh(t));
    t.same(await log.read('s'), { events: [], revision: NO_STREAM, closed: false }, 'nothing there yet');
    const tooFar = await appendOne(log, commitTo('s', { expected: 0 }));
    t.same(tooFar, { outcome: 'conflict', revision: NO_STREAM }, 'expected to be there, is not');
    const first = mustBeWritten(await appendOne(log, commitTo('s', { events: [profile('0'), profile('1')] })));
    t.equal(first.revision, 1, 'the revision of the last event');
    const again = await appendOne(log, commitTo('s'));
    t.same(again, { outcome: 'conflict', revision: 1 }, 'expected not to be there, is');
    for (const expected of [0, 2]) {
      const wrong = await appendOne(log, commitTo('s', { expected }));
      t.same(wrong, { outcome: 'conflict', revision: 1 }, `expected at ${expected}`);
    }
    const second = mustBeWritten(await appendOne(log, commitTo('s', { expected: 1 })));
    t.equal(second.revision, 2);
    t.ok(second.position > first.position);
    const { events, revision, closed } = await log.read('s');
    t.same(
      events.map((event) => event.revision),
      [0, 1, 2],
    );
    t.same({ revision, closed }, { revision: 2, closed: false });
    t.same(
      (await log.read('s', 1)).events.map((event) => event.revision),
      [1, 2],
      'from a revision on',
    );
    t.same(await log.read('s', 3), { events: [], revision: 2, closed: false }, 'from behind the last');
  });

  await t.test('a commit refused for its revision may be tried again at the right one', async (t) => {
    const log = await openHandle(t, await adapter.fresh(t));
    await writeStream(log, 's');
    const commit = commitTo('s');
    t.same(await appendOne(log, commit), { outcome: 'conflict', revision: 0 });
    const { revision } = mustBeWritten(await appendOne(log, { ...commit, expected: 0 }));
    t.equal(revision, 1);
  });

  await t.test('the commits of one call are independent, their outcomes stand in order', async (t) => {
    const log = await openHandle(t, await adapter.fresh(t));
    const old = commitTo('old');
    const { position } = mustBeWritten(await appendOne(log, old));
    mustBeWritten(await appendOne(log, commitTo('holder', { claims: [{ name: 'held', made: 'first' }] })));
    const commits = [
      commitTo('a'),
      commitTo('old'),
      commitTo('b', { events: [profile('b0'), profile('b1')] }),
      old,
      commitTo('c', { claims: [{ name: 'held' }] }),
      commitTo('d'),
    ];
    const outcomes = await log.append(commits);
    t.same(
      outcomes.map((each) => each.outcome),
      ['written', 'conflict', 'written', 'replayed', 'taken', 'written'],
    );
    t.match(outcomes[1], { revision: 0 });
    t.match(outcomes[2], { revision: 1 });
    t.same(outcomes[3], { outcome: 'replayed', position, revision: 0 });
    t.same(outcomes[4], { outcome: 'taken', name: 'held', by: { stream: 'holder', made: 'first' } });
    const all = await tailToHead(t, log);
    const written = new Set(all.map((event) => event.commitId));
    t.same(
      commits.map((commit) => written.has(commit.commitId)),
      [true, false, true, true, false, true],
    );
    t.same(await log.append([]), [], 'a call of none');
  });

  await t.test('two commits of one call for one place: one gets it', async (t) => {
    const log = await openHandle(t, await adapter.fresh(t));
    const [a, b] = await log.append([commitTo('s'), commitTo('s')]);
    t.same([a?.outcome, b?.outcome].sort(), ['conflict', 'written']);
    t.match(
      [a, b].find((each) => each?.outcome === 'conflict'),
      { revision: 0 },
    );
    const claims = [{ name: 'name' }];
    const rivals = await log.append([commitTo('x', { claims }), commitTo('y', { claims })]);
    t.same(rivals.map((each) => each.outcome).sort(), ['taken', 'written']);
    const owner = rivals[0]?.outcome === 'written' ? 'x' : 'y';
    t.match(
      rivals.find((each) => each.outcome === 'taken'),
      { name: 'name', by: { stream: owner, made: null } },
    );
    t.equal((await log.read('x')).events.length + (await log.read('y')).events.length, 1);
  });

  await t.test('replayed: the same commit gets its first answer again', async (t) => {
    const store = await adapter.fresh(t);
    const [log, other] = [await openHandle(t, store), await openHandle(t, store)];
    const single = commitTo('single', { claims: [{ name: 'claimed' }] });
    const several = commitTo('several', { events: [profile('0'), profile('1'), profile('2')] });
    const later = commitTo('several', { expected: 2, events: [profile('3'), profile('4')] });
    const firsts = [single, several, later];
    const answers = new Map<Commit, { position: bigint; revision: number }>();
    const askAgain = async (when: string): Promise<void> => {
      for (const [commit, { position, revision }] of answers) {
        for (const handle of [log, other]) {
          t.same(await appendOne(handle, commit), { outcome: 'replayed', position, revision }, when);
        }
      }
    };
    for (const commit of firsts) {
      answers.set(commit, mustBeWritten(await appendOne(log, commit)));
      await askAgain('at once');
    }
    mustBeWritten(await appendOne(log, commitTo('single', { expected: 0, releases: ['claimed'] })));
    mustBeWritten(await appendOne(log, commitTo('several', { expected: 4 })));
    await askAgain('after others followed in the stream');
    mustBeWritten(await appendOne(log, commitTo('next', { claims: [{ name: 'claimed' }] })));
    await askAgain('after the name went to another stream');
    t.equal((await tailToHead(t, log)).length, 1 + 3 + 2 + 1 + 1 + 1, 'nothing was written twice');
  });

  await t.test('replayed: the same commit from two handles and twice in a call, at the same time', async (t) => {
    const store = await adapter.fresh(t);
    const [log, other] = [await openHandle(t, store), await openHandle(t, store)];
    for (let round = 0; round < 20; round++) {
      const commit = commitTo(`s-${round}`, {
        events: [profile('0'), profile('1')],
        claims: [{ name: `name-${round}` }],
      });
      const outcomes = (
        await Promise.all([log.append([commit, commit]), other.append([commit]), other.append([commit])])
      ).flat();
      t.same(outcomes.map((each) => each.outcome).sort(), ['replayed', 'replayed', 'replayed', 'written']);
      t.equal(
        new Set(outcomes.map((each) => show({ ...each, outcome: 'written' } as typeof each))).size,
        1,
        'one answer',
      );
      t.equal((await log.read(commit.stream)).events.length, 2, 'one effect');
    }
  });

  await t.test('limits: at the limit it is written, above nothing is', async (t) => {
    const log = await openHandle(t, await adapter.fresh(t));
    const meta = { actor: [1, 2] as const, trace: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' };
    const sized = (sizes: readonly number[]) => sizes.map((size) => profile('x'.repeat(size)));
    const event = (size: number): Commit => commitTo('event', { events: sized([size]), meta });
    const excess = await tooLarge(log, event(maxEventBytes));
    t.match(excess, { maxBytes: maxEventBytes });
    t.ok(excess.bytes > maxEventBytes && excess.bytes < maxEventBytes + 1_024, 'bytes of data and metadata');
    const exact = maxEventBytes - (excess.bytes - maxEventBytes);
    t.match(await tooLarge(log, event(exact + 1)), { bytes: maxEventBytes + 1 }, 'one byte above');
    const { position } = mustBeWritten(await appendOne(log, event(exact)));

    const part = 200 * 1024;
    const commit = (rest: number): Commit => commitTo('commit', { events: sized([part, part, part, rest]), meta });
    const above = await tooLarge(log, commit(part));
    t.match(above, { maxBytes: maxCommitBytes });
    const left = part - (above.bytes - maxCommitBytes);
    t.match(await tooLarge(log, commit(left + 1)), { bytes: maxCommitBytes + 1 }, 'one byte above');
    await t.rejects(log.append([commitTo('innocent'), commit(part)]), TooLargeError, 'with another commit in the call');
    t.equal(await log.head(), position, 'nothing of it was written');
    mustBeWritten(await appendOne(log, commit(left)));
    const { events } = await log.read('commit');
    t.same(
      events.map(({ data }) => (data as { displayName: string }).displayName.length),
      [part, part, part, left],
    );
  });

  await t.test('limits are counted in bytes of UTF-8', async (t) => {
    const log = await openHandle(t, await adapter.fresh(t));
    const euros = (count: number) => profile('€'.repeat(count));
    await t.rejects(
      log.append([commitTo('event', { events: [euros(100_000)] })]),
      TooLargeError,
      'an event of 300,000',
    );
    const small = Array.from({ length: 40 }, () => euros(10_000));
    await t.rejects(log.append([commitTo('commit', { events: small })]), TooLargeError, 'a commit of 40 times 30,000');
    t.equal(await log.head(), 0n);
    mustBeWritten(await appendOne(log, commitTo('event', { events: [euros(80_000)] })));
  });
}

async function tooLarge(log: Log, commit: Commit): Promise<TooLargeError> {
  try {
    await log.append([commit]);
  } catch (error) {
    if (error instanceof TooLargeError) return error;
    throw error;
  }
  throw new Error('it was not too large');
}
