import { randomUUID } from 'node:crypto';
import type { AllStreamResolvedEvent } from '@eventstore/db-client';
import t from 'tap';
import { codec } from '../../schemas/index.ts';
import { ErasedStreams } from '../../src/log/eventstoredb-erased.ts';
import {
  appendBytes,
  classify,
  decode,
  eventId,
  Names,
  proposeClaim,
  proposeCommit,
  proposeFence,
} from '../../src/log/eventstoredb-records.ts';
import { waiting } from '../../src/log/waiting.ts';
import { commitTo, profile } from '../support/log-load.ts';

const names = new Names('parley');

t.test('names of streams are read back, and those of others are none of ours', async (t) => {
  for (const name of ['room-1-2', '$all', '!x', '*erased', '', 'a.b!c*d'])
    t.same(names.read(names.stream(name)), { kind: 'stream', name });
  t.same(names.read(names.claim('$n')), { kind: 'claim', name: '$n' });
  t.same(names.read(names.erased), { kind: 'erased', name: 'erased' });
  for (const name of [
    '$all',
    '$$parley.room',
    'parley',
    'parley2.room',
    'parley-room',
    'parley*other',
    'other.room',
    '',
  ])
    t.equal(names.read(name), null, name);
  for (const wrong of ['', 'a.b', 'A', '$a', 'x'.repeat(41)]) t.throws(() => new Names(wrong), TypeError);
});

t.test('a commit is stored with its envelope, and read back', async (t) => {
  const events = [profile('0'), profile('1')];
  const commit = commitTo('s', { events, at: 7, meta: { actor: [1, 2] }, releases: ['n'] });
  const proposed = proposeCommit(waiting(commit, codec), 'asking');
  t.same(
    proposed.map(({ id }) => id),
    [0, 1].map((index) => eventId(commit.commitId, index)),
  );
  const stored = proposed.map(({ type, data, metadata }, index) => ({
    event: {
      type,
      streamId: names.stream('s'),
      id: randomUUID(),
      isJson: true,
      revision: BigInt(index),
      created: new Date(),
      data: JSON.parse(String(data)) as object,
      metadata: JSON.parse(String(metadata)) as object,
      position: { commit: BigInt(index + 50), prepare: BigInt(index + 50) },
    },
  })) as AllStreamResolvedEvent[];
  const records = stored.map((each) => classify(each, names));
  t.same(
    records.map((record) => record.is === 'event' && decode(record.position, record.event, codec)),
    events.map((event, index) => ({
      ...event,
      position: BigInt(index + 50),
      stream: 's',
      revision: index,
      commitId: commit.commitId,
      index,
      at: 7,
      meta: { actor: [1, 2] },
    })),
  );
  t.match(records[0], { event: { metadata: { asking: 'asking', releases: ['n'] } } });
  t.strictSame(Object.keys((stored[1]?.event?.metadata ?? {}) as object).sort(), [
    'at',
    'commitId',
    'index',
    'meta',
    'version',
  ]);
});

t.test('what is not a domain event of ours is passed over', async (t) => {
  const at = (streamId: string, type: string, rest: object = {}) =>
    classify(
      {
        event: {
          type,
          streamId,
          id: randomUUID(),
          isJson: true,
          revision: 0n,
          created: new Date(),
          data: {},
          metadata: undefined,
          position: { commit: 9n, prepare: 9n },
          ...rest,
        },
      } as AllStreamResolvedEvent,
      names,
    );
  t.same(at('$stats-1', '$statsCollected'), { is: 'foreign', position: 9n });
  t.same(at(names.claim('n'), 'claimed'), { is: 'own', position: 9n });
  t.same(at(names.stream('s'), 'commit-fenced'), { is: 'own', position: 9n });
  t.same(at(names.stream('s'), 'Somebody'), { is: 'own', position: 9n }, 'written by somebody else');
  t.same(at(names.stream('s'), 'Binary', { isJson: false }), { is: 'own', position: 9n });
  t.same(at(names.stream('s'), '$streamDeleted', { isJson: false }), {
    is: 'erased',
    position: 9n,
    streams: ['s'],
    listed: false,
  });
  t.same(at(names.erased, 'streams-erased', { data: { streams: ['a', 'b'] } }), {
    is: 'erased',
    position: 9n,
    streams: ['a', 'b'],
    listed: true,
  });
});

t.test('ids of claims and fences: the same for the same asking, whoever asks', async (t) => {
  const claim = { commitId: randomUUID(), stream: 's', expected: 3 };
  t.equal(proposeClaim('n', claim).id, proposeClaim('n', { ...claim }).id);
  t.not(proposeClaim('n', claim).id, proposeClaim('m', claim).id);
  t.not(proposeClaim('n', claim).id, proposeClaim('n', { ...claim, expected: 4 }).id, 'anew at another revision');
  t.equal(proposeFence(claim).id, proposeFence({ ...claim, made: 'x' }).id);
  t.not(proposeFence(claim).id, proposeFence({ ...claim, expected: 4 }).id);
});

t.test('the list of erased streams is written in events that an append takes', async (t) => {
  const streams = Array.from({ length: 5_000 }, (_, number) => `${'stream-'.repeat(number % 50)}${number}`);
  const events = ErasedStreams.propose(streams);
  t.ok(events.length > 5 && events.length < 50);
  for (const event of events) t.ok(appendBytes(event) < 1024 * 1024);
  t.same(
    events.flatMap(({ data }) => (JSON.parse(String(data)) as { streams: string[] }).streams),
    streams,
  );
  t.same(ErasedStreams.propose([]), []);
});
