/** The stand-in's writing half, through the real client, in both flavours of append that the client has. */
import { randomUUID } from 'node:crypto';
import { ErrorType, EventStoreDBClient } from '@eventstore/db-client';
import t from 'tap';
import { all, connect, event, open, refusal, written } from './client.ts';

for (const batchAppend of [true, false]) {
  t.test(batchAppend ? 'BatchAppend' : 'Append', async (t) => {
    const { db, client } = await open(t, { faults: { batchAppend } });

    t.test('expected revisions', async (t) => {
      const first = await client.appendToStream('a', [event('0'), event('1')], { expectedRevision: 'no_stream' });
      t.match(first, { success: true, nextExpectedRevision: 1n });
      t.equal(first.position?.commit, first.position?.prepare);
      const again = await refusal(client.appendToStream('a', event('x'), { expectedRevision: 'no_stream' }));
      t.match(again, { type: ErrorType.WRONG_EXPECTED_VERSION, streamName: 'a', actualVersion: 1n });
      const below = await refusal(client.appendToStream('a', event('x'), { expectedRevision: 0n }));
      t.match(below, { type: ErrorType.WRONG_EXPECTED_VERSION, actualVersion: 1n, expectedVersion: 0n });
      const above = await refusal(client.appendToStream('a', event('x'), { expectedRevision: 2n }));
      t.match(above, { type: ErrorType.WRONG_EXPECTED_VERSION, actualVersion: 1n });
      t.match(await client.appendToStream('a', event('2'), { expectedRevision: 1n }), { nextExpectedRevision: 2n });
      t.match(await client.appendToStream('a', event('3')), { nextExpectedRevision: 3n });
      t.match(await client.appendToStream('a', event('4'), { expectedRevision: 'stream_exists' }), {
        nextExpectedRevision: 4n,
      });
      const missing = await refusal(client.appendToStream('none', event('x'), { expectedRevision: 'stream_exists' }));
      t.match(missing, { type: ErrorType.WRONG_EXPECTED_VERSION, actualVersion: 'no_stream' });
      const events = await all(client.readStream('a'));
      t.same(
        events.map((each) => [each.event?.revision, each.event?.data]),
        [0n, 1n, 2n, 3n, 4n].map((revision) => [revision, String(revision)]),
      );
    });

    t.test('a replay is told by ids, where they would stand', async (t) => {
      const ids = [randomUUID(), randomUUID()];
      const commit = ids.map((id) => event(id, id));
      const first = await client.appendToStream('r', commit, { expectedRevision: 'no_stream' });
      await client.appendToStream('r', event('later'), { expectedRevision: 1n });
      const replay = () => client.appendToStream('r', commit, { expectedRevision: 'no_stream' });
      t.match(await replay(), { success: true, nextExpectedRevision: 1n, position: undefined });
      t.same(await replay(), first, 'every other answer has the last position');
      await db.faults({ replayAnswer: 'position' });
      t.same(await replay(), first);
      await db.faults({ replayAnswer: 'none' });
      t.same((await replay()).position, undefined);
      const otherContent = ids.map((id) => event('not what it was', id));
      t.match(await client.appendToStream('r', otherContent, { expectedRevision: 'no_stream' }), { success: true });
      const wrong = { type: ErrorType.WRONG_EXPECTED_VERSION, actualVersion: 2n };
      const partly = [commit[0]!, event('other')];
      t.match(await refusal(client.appendToStream('r', partly, { expectedRevision: 'no_stream' })), wrong);
      t.match(await refusal(client.appendToStream('r', commit, { expectedRevision: 0n })), wrong, 'elsewhere');
      t.match(await client.appendToStream('r', commit[0]!, { expectedRevision: 'no_stream' }), {
        nextExpectedRevision: 0n,
      });
      t.equal((await all(client.readStream('r'))).length, 3);
    });

    t.test('without an expected revision only lately written ids are known', async (t) => {
      const once = event('once');
      await client.appendToStream('any', once);
      t.match(await client.appendToStream('any', once), { nextExpectedRevision: 0n });
      t.match(await client.appendToStream('other', once), { nextExpectedRevision: 0n }, 'in another stream it is new');
      t.equal((await all(client.readStream('any'))).length, 1);
    });

    t.test('an append is limited to 1 MiB', async (t) => {
      const text = 'x'.repeat(600 * 1024);
      const refused = await refusal(client.appendToStream('big', [event(text), event(text)]));
      t.match(refused, { type: ErrorType.MAXIMUM_APPEND_SIZE_EXCEEDED, maxAppendSize: 1024 * 1024 });
      t.match(await client.appendToStream('big', event(text)), { nextExpectedRevision: 0n });
    });

    t.test('after a soft deletion the stream begins anew, behind its last revision', async (t) => {
      const commit = [event('0'), event('1')];
      await client.appendToStream('soft', commit, { expectedRevision: 'no_stream' });
      await client.deleteStream('soft', { expectedRevision: 1n });
      t.match(await refusal(all(client.readStream('soft'))), { type: ErrorType.STREAM_NOT_FOUND });
      const exists = client.appendToStream('soft', event('x'), { expectedRevision: 'stream_exists' });
      t.match(await refusal(exists), { type: ErrorType.STREAM_DELETED });
      await db.faults({ replayAnswer: 'position' });
      t.match(
        await client.appendToStream('soft', commit, { expectedRevision: 'no_stream' }),
        { nextExpectedRevision: 1n, position: undefined },
        'the same ids are still a replay, of events that have no position for readers',
      );
      const anew = await client.appendToStream('soft', event('2'), { expectedRevision: 'no_stream' });
      t.match(anew, { nextExpectedRevision: 2n });
      t.same(
        (await all(client.readStream('soft'))).map((each) => each.event?.revision),
        [2n],
      );
    });

    t.test('a tombstone closes for ever', async (t) => {
      const last = await client.appendToStream('hard', event('secret'), { expectedRevision: 'no_stream' });
      const wrong = await refusal(client.tombstoneStream('hard', { expectedRevision: 5n }));
      t.match(wrong, { type: ErrorType.WRONG_EXPECTED_VERSION, actualVersion: 0n });
      const { position } = await client.tombstoneStream('hard', { expectedRevision: 0n });
      t.ok(position && last.position && position.commit > last.position.commit);
      for (const expectedRevision of ['any', 'no_stream', 0n] as const) {
        const refused = await refusal(client.appendToStream('hard', event('x'), { expectedRevision }));
        t.match(refused, { type: ErrorType.STREAM_DELETED, streamName: 'hard' });
      }
      t.match(await refusal(all(client.readStream('hard'))), { type: ErrorType.STREAM_DELETED, code: 9 });
      t.match(await refusal(client.tombstoneStream('hard')), { type: ErrorType.STREAM_DELETED });
      const events = (await written(client)).filter((each) => each.event?.streamId === 'hard');
      t.match(
        events.map((each) => each.event),
        [{ data: 'secret' }, { type: '$streamDeleted', revision: 2n ** 63n - 1n, position }],
      );
    });

    t.test('many appends in flight on one stream of one client', async (t) => {
      const count = 500;
      const numbers = Array.from({ length: count }, (_, index) => index);
      const answers = await Promise.all(numbers.map((number) => client.appendToStream('many', event(String(number)))));
      t.equal(new Set(answers.map(({ nextExpectedRevision }) => nextExpectedRevision)).size, count);
    });
  });
}

t.test('throwOnAppendFailure false: an answer instead of an error', async (t) => {
  const { db } = await open(t);
  const client = EventStoreDBClient.connectionString(`${db.url}&throwOnAppendFailure=false`);
  t.teardown(() => client.dispose());
  await client.appendToStream('a', event('0'));
  t.match(await client.appendToStream('a', event('1'), { expectedRevision: 'no_stream' }), { success: false });
});

t.test("a client's deadline is the server's: what comes too late is not stored", async (t) => {
  const { client } = await open(t);
  const late = await refusal(client.appendToStream('late', event('0'), { deadline: 0 }));
  t.match(late, { type: ErrorType.DEADLINE_EXCEEDED, code: undefined });
  t.match(await refusal(all(client.readStream('late'))), { type: ErrorType.STREAM_NOT_FOUND });
});

t.test('an append with credentials of its own is a call of its own', async (t) => {
  const { db, client } = await open(t, { faults: { failAppends: { error: 'not-leader', count: 1 } } });
  const credentials = { username: 'admin', password: 'changeit' };
  const other = connect(t, db);
  const refused = await refusal(other.appendToStream('a', event('0'), { credentials }));
  t.match(refused, { type: ErrorType.NOT_LEADER, code: 5 });
  t.match(await client.appendToStream('a', event('0'), { credentials }), { nextExpectedRevision: 0n });
});
