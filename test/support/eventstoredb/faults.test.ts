/** What the stand-in can be made to do wrong, as the real client meets it, and what its file keeps through kill -9. */
import { once } from 'node:events';
import { readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { connect as tcp } from 'node:net';
import { type AllStreamResolvedEvent, ErrorType, START } from '@eventstore/db-client';
import t from 'tap';
import { all, connect, event, open, refusal, written } from './client.ts';
import { type ErrorName, startStandIn } from './index.ts';

/** How the client tells each error: within BatchAppend, and as the end of a call. */
const errors: Readonly<Record<ErrorName, { batch: object; call: object }>> = {
  'not-leader': {
    batch: { type: ErrorType.NOT_LEADER, code: 5 },
    call: { type: ErrorType.NOT_LEADER, code: 5 },
  },
  busy: {
    batch: { type: ErrorType.UNKNOWN, code: undefined, message: /Server Is Busy/ },
    call: { type: ErrorType.UNAVAILABLE, code: 14 },
  },
  'not-ready': {
    batch: { type: ErrorType.UNKNOWN, code: undefined, message: /Server Is Not Ready/ },
    call: { type: ErrorType.UNAVAILABLE, code: 14 },
  },
  'write-timeout': {
    batch: { type: ErrorType.DEADLINE_EXCEEDED, code: undefined },
    call: { type: ErrorType.TIMEOUT, code: 10 },
  },
  'prepare-timeout': {
    batch: { type: ErrorType.DEADLINE_EXCEEDED, code: undefined },
    call: { type: ErrorType.TIMEOUT, code: 10 },
  },
  'commit-timeout': {
    batch: { type: ErrorType.DEADLINE_EXCEEDED, code: undefined },
    call: { type: ErrorType.TIMEOUT, code: 10 },
  },
  unavailable: {
    batch: { type: ErrorType.UNAVAILABLE, code: 14 },
    call: { type: ErrorType.UNAVAILABLE, code: 14 },
  },
  cancelled: {
    batch: { type: ErrorType.CANCELLED, code: 1 },
    call: { type: ErrorType.CANCELLED, code: 1 },
  },
  deadline: {
    batch: { type: ErrorType.DEADLINE_EXCEEDED, code: undefined },
    call: { type: ErrorType.DEADLINE_EXCEEDED, code: 4 },
  },
  'access-denied': {
    batch: { type: ErrorType.ACCESS_DENIED, code: undefined },
    call: { type: ErrorType.ACCESS_DENIED, code: 7 },
  },
  unknown: {
    batch: { type: ErrorType.UNKNOWN, code: undefined },
    call: { type: ErrorType.UNKNOWN, code: 2 },
  },
};

t.test('errors, by type and code', async (t) => {
  const { db } = await open(t);
  for (const error of Object.keys(errors) as ErrorName[]) {
    const client = connect(t, db);
    const { batch, call } = errors[error];
    await db.faults({ failAppends: { error } });
    t.match(await refusal(client.appendToStream(error, event('0'))), batch, `${error} of an append`);
    t.match(await refusal(all(client.readStream(error))), { type: ErrorType.STREAM_NOT_FOUND }, 'nothing stored');
    await db.faults({ failAppends: { error, stored: true } });
    t.match(await refusal(client.appendToStream(error, event('0'))), batch);
    t.equal((await all(client.readStream(error))).length, 1, 'stored all the same');
    await db.faults({ failReads: { error } });
    t.match(await refusal(all(client.readStream(error))), call, `${error} of a read`);
    await db.faults({ failReads: { error } });
    const [failure] = (await once(client.subscribeToAll(), 'error')) as [Error];
    t.match(failure, call, `${error} of a subscription`);
    await db.faults({ failAppends: { error, stream: 'elsewhere' } });
    await client.appendToStream(error, event('1'));
    const tombstone = refusal(client.tombstoneStream('elsewhere'));
    t.match(await tombstone, call, `${error} of a tombstone`);
    await db.faults({ reset: true });
  }
});

t.test('not-leader names the leader, and the client goes there', async (t) => {
  const leader = await open(t);
  const { db, client } = await open(t);
  const at = { host: '127.0.0.1', port: leader.db.port };
  await db.faults({ failAppends: { error: 'not-leader', count: 'all', leader: at } });
  const refused = await refusal(client.appendToStream('a', event('0')));
  t.match(refused, { type: ErrorType.NOT_LEADER, leader: { address: at.host, port: at.port } });
  t.match(await client.appendToStream('a', event('0')), { nextExpectedRevision: 0n });
  t.equal((await all(leader.client.readStream('a'))).length, 1);
});

t.test('appends that are never answered', async (t) => {
  const { db, client } = await open(t);
  await db.faults({ dropAnswers: { stream: 'dropped' }, refuse: { stream: 'refused' } });
  const settled: string[] = [];
  for (const stream of ['dropped', 'refused']) {
    client.appendToStream(stream, event('0')).then(
      () => settled.push(stream),
      () => {},
    );
  }
  t.match(await client.appendToStream('answered', event('0')), { nextExpectedRevision: 0n });
  t.match(await db.state(), { appends: 3, appendsAnswered: 1 });
  t.same(settled, []);
  t.equal((await all(client.readStream('dropped'))).length, 1);
  t.match(await refusal(all(client.readStream('refused'))), { type: ErrorType.STREAM_NOT_FOUND });
  t.match(await client.appendToStream('refused', event('0')), { nextExpectedRevision: 0n }, 'the next one is');
});

t.test('the connection is cut instead of an answer', async (t) => {
  const { db, client } = await open(t);
  for (const stored of [false, true]) {
    await db.faults({ cutAppends: { stored } });
    t.match(await refusal(client.appendToStream(`${stored}`, event('0'))), { type: ErrorType.UNAVAILABLE, code: 14 });
  }
  t.same(
    (await written(client)).map((each) => each.event?.streamId),
    ['true'],
  );
  const subscription = client.subscribeToAll();
  subscription.resume();
  await once(subscription, 'caughtUp');
  const failed = once(subscription, 'error');
  await db.faults({ cutConnections: true });
  t.match(await failed, [{ type: ErrorType.UNAVAILABLE }]);
});

t.test('killed at the n-th append, before and after it is stored', async (t) => {
  const { db, client } = await open(t);
  for (const when of ['before', 'after'] as const) {
    await db.faults({ killAtAppend: { n: 2, when } });
    await client.appendToStream(when, event('0'));
    t.match(await refusal(client.appendToStream(when, event('1'))), { type: ErrorType.UNAVAILABLE });
    await db.exited;
    t.notOk(db.running);
    await db.restart();
    t.equal((await all(connect(t, db).readStream(when))).length, when === 'before' ? 1 : 2);
  }
});

t.test('silent: connections are accepted and nothing is answered', async (t) => {
  const { db, client } = await open(t);
  await client.appendToStream('a', event('0'));
  const settled: string[] = [];
  await db.faults({ silent: true });
  const append = client.appendToStream('a', event('1')).then(() => settled.push('append'));
  const read = all(connect(t, db).readStream('a')).then(() => settled.push('read'));
  const socket = tcp(db.port, '127.0.0.1');
  await once(socket, 'connect');
  socket.destroy();
  // As long as it takes another to start and to answer.
  const other = await open(t);
  await other.client.appendToStream('a', event('0'));
  t.same(settled, []);
  await t.rejects(db.state(), /silent/);
  await db.faults({ silent: false });
  await Promise.all([append, read]);
  t.equal(settled.length, 2);

  await db.faults({ silent: true });
  const lost = refusal(client.appendToStream('a', event('2')));
  await other.client.appendToStream('a', event('1'));
  await db.restart();
  t.match(await lost, { type: ErrorType.UNAVAILABLE });
  t.equal((await all(connect(t, db).readStream('a'))).length, 2, 'what a frozen one did not take is not stored');
});

t.test('slow answers', async (t) => {
  const { db, client } = await open(t);
  const settled: string[] = [];
  await db.faults({ delayMs: 120_000 });
  client.appendToStream('slow', event('0')).then(
    () => settled.push('slow'),
    () => {},
  );
  while ((await db.state()).appends === 0);
  t.equal((await all(client.readStream('slow'))).length, 1, 'stored at once');
  await db.faults({ delayMs: 0 });
  await client.appendToStream('fast', event('0'));
  t.same(settled, [], 'a later one is answered before it');
  await db.faults({ delayMs: 10 });
  t.match(await client.appendToStream('late', event('0')), { nextExpectedRevision: 0n });
});

t.test('a stream of appends that breaks takes all that are in flight with it', async (t) => {
  const { db, client } = await open(t);
  const count = 20;
  await db.faults({ dropAnswers: { count: 'all' }, failAppends: { error: 'not-leader', skip: count - 1 } });
  const appends = Array.from({ length: count }, (_, index) => client.appendToStream(`s-${index}`, event('0')));
  for (const append of appends) t.match(await refusal(append), { type: ErrorType.NOT_LEADER });
  t.equal((await written(client)).length, count - 1, 'though stored');
  await db.faults({ reset: true });
  t.match(await client.appendToStream('on', event('0')), { success: true });
});

t.test('an answer to a connection that is gone harms nobody', async (t) => {
  const { db, client } = await open(t);
  await db.faults({ delayMs: 300 });
  const lost = refusal(client.appendToStream('lost', event('0')));
  while ((await db.state()).appends === 0);
  await db.faults({ cutConnections: true, delayMs: 0 });
  t.match(await lost, { type: ErrorType.UNAVAILABLE });
  while ((await db.state()).appendsAnswered === 0);
  t.match(await client.appendToStream('lost', event('1')), { nextExpectedRevision: 1n });
});

t.test('reads and subscriptions that end without an error', async (t) => {
  const { db, client } = await open(t);
  await client.appendToStream(
    's',
    ['0', '1', '2', '3'].map((data) => event(data)),
  );
  await db.faults({ endReads: { afterEvents: 2, stream: '^s$' } });
  t.equal((await all(client.readStream('s'))).length, 2);
  t.equal((await all(client.readStream('s'))).length, 4);
  await db.faults({ endReads: { afterEvents: 3 } });
  const seen: AllStreamResolvedEvent[] = [];
  for await (const each of client.subscribeToAll({ fromPosition: START })) seen.push(each);
  t.equal(seen.length, 3);
  const subscription = client.subscribeToAll({ fromPosition: START });
  subscription.resume();
  await once(subscription, 'caughtUp');
  const ended = once(subscription, 'end');
  await db.faults({ endSubscriptions: true });
  await ended;
  while ((await db.state()).subscriptions > 0);
});

t.test('what was acknowledged is there after kill -9, and a torn record is cut off', async (t) => {
  const { db, client } = await open(t);
  const first = event('0');
  for (let number = 0; number < 100; number += 1) {
    await client.appendToStream(`s-${number % 7}`, number === 0 ? first : event(String(number)));
  }
  await client.tombstoneStream('s-6');
  const before = await written(client);
  await db.kill();
  const whole = await readFile(db.file);
  await db.restart();
  t.same(await written(connect(t, db)), before);
  await db.kill();

  const missing = 5;
  await truncate(db.file, whole.length - missing);
  await db.restart();
  const again = connect(t, db);
  t.same(await written(again), before.slice(0, -1), 'the last frame is not whole: it never was');
  const replay = { expectedRevision: 'no_stream' } as const;
  t.match(await again.appendToStream('s-0', first, replay), { nextExpectedRevision: 0n });
  t.match(await again.appendToStream('s-6', event('on')), { success: true });
  t.equal((await written(again)).length, before.length);
  await db.kill();

  // A frame of one entry without a head, whose second length is not there.
  const torn = Buffer.alloc(4 + 13 + 4);
  torn.writeUInt32LE(13, 0);
  torn.writeUInt8(1, 4);
  for (const tail of [torn, Buffer.alloc(5_000, 'x')]) {
    await writeFile(db.file, tail, { flag: 'a' });
    await db.restart();
    t.equal((await written(connect(t, db))).length, before.length);
    t.equal((await stat(db.file)).size, (await db.state()).end);
    await db.kill();
  }
});

t.test('a stand-in that cannot listen says so', async (t) => {
  const { db } = await open(t);
  await t.rejects(startStandIn({ port: db.port }), /EADDRINUSE/);
});
