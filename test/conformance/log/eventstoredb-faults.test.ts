/**
 * What the EventStoreDB adapter does when its server fails in the ways that one does. The stand-in fails to order, so these
 * tests run against it also where EVENTSTOREDB_URL is set.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EventStoreDBClient } from '@eventstore/db-client';
import t, { type Test } from 'tap';
import { codec } from '../../../schemas/index.ts';
import { type EventStoreLogOptions, openEventStoreLog } from '../../../src/log/eventstoredb.ts';
import type { AnswerReport } from '../../../src/log/eventstoredb-appender.ts';
import { adminOf, scavenge } from '../../../src/log/eventstoredb-scavenge.ts';
import { startStandIn } from '../../support/eventstoredb/index.ts';
import { type Ack, appendOne, commitTo, profile, runLoad, settle } from '../../support/log-load.ts';
import { checkHistory, follow, mustBeThere, mustBeWritten, tailToHead, writeStream } from './harness.ts';

t.comment('against the stand-in: it shows neither durability nor speed of the real server');

/** A server of the test's own. */
async function serverOf(t: Test) {
  const server = await startStandIn();
  t.teardown(() => server.stop());
  const open = async (options: Partial<EventStoreLogOptions> = {}) => {
    const log = await openEventStoreLog({
      url: server.url,
      codec,
      appendTimeoutMs: 400,
      readTimeoutMs: 1_000,
      ...options,
    });
    t.teardown(() => log.close());
    return log;
  };
  return { server, open };
}

await t.test('an append that the server answers with trouble is asked again, and is there once', async (t) => {
  const { server, open } = await serverOf(t);
  const log = await open({ appendTimeoutMs: 2_000 });
  const errors = [
    'not-leader',
    'busy',
    'not-ready',
    'write-timeout',
    'prepare-timeout',
    'commit-timeout',
    'unavailable',
    'cancelled',
    'deadline',
    'unknown',
  ] as const;
  for (const error of errors) {
    for (const stored of [false, true]) {
      const commit = commitTo(`${error}-${stored}`, { events: [profile('0'), profile('1')] });
      await server.faults({ failAppends: { error, stored } });
      const { position } = mustBeWritten(await appendOne(log, commit));
      t.same(await appendOne(log, commit), { outcome: 'replayed', position, revision: 1 }, `${error}, ${stored}`);
      t.equal((await log.read(commit.stream)).events.length, 2);
    }
  }
  t.equal(log.renewals, 0, 'the server spoke: its client was kept');
});

await t.test('the answer of a replay with and without its position', async (t) => {
  const { server, open } = await serverOf(t);
  const [log, other] = [await open(), await open()];
  for (const replayAnswer of ['position', 'none'] as const) {
    await server.faults({ replayAnswer });
    const commit = commitTo(replayAnswer, { events: [profile('0'), profile('1'), profile('2')] });
    const { position } = mustBeWritten(await appendOne(log, commit));
    mustBeWritten(await appendOne(log, commitTo(replayAnswer, { expected: 2 })));
    for (const handle of [log, other])
      t.same(await appendOne(handle, commit), { outcome: 'replayed', position, revision: 2 });
  }
});

await t.test('an append without an answer is asked again on another client', async (t) => {
  const { server, open } = await serverOf(t);
  const log = await open();
  const follower = follow(t, log);
  for (const [number, fault] of (['dropAnswers', 'refuse'] as const).entries()) {
    await server.faults({ [fault]: { count: 1 } });
    mustBeWritten(await appendOne(log, commitTo(fault)));
    t.equal(log.renewals, number + 1, `${fault}: the client was thrown away`);
  }
  // Never answered, whatever client asks: not known, and found out later.
  await server.faults({ dropAnswers: { count: 'all' } });
  const commit = commitTo('never');
  t.equal((await appendOne(log, commit)).outcome, 'unknown');
  await server.faults({ dropAnswers: null });
  const { position } = mustBeThere(await settle(log, commit));
  await follower.reached(position);
  t.same(
    follower.events.map(({ stream }) => stream),
    ['dropAnswers', 'refuse', 'never'],
    'once each',
  );
});

await t.test('connections cut and streams killed with much in flight and queued', async (t) => {
  const { server, open } = await serverOf(t);
  const log = await open({ appendTimeoutMs: 2_000 });
  const follower = follow(t, log);
  const acks: Ack[] = [];
  for (let round = 0; round < 8; round++) {
    await server.faults(
      round % 2 === 0
        ? { cutAppends: { count: 1, skip: 100 + round * 40, stored: round % 4 === 0 } }
        : { killAtAppend: { n: 100 + round * 40, when: round % 4 === 1 ? 'before' : 'after' } },
    );
    const { exited } = server;
    const load = runLoad(log, { prefix: `round-${round}`, writers: 300, commitsPerWriter: 4 });
    if (round % 2 === 1) {
      await exited;
      await server.restart();
    }
    acks.push(...(await load));
  }
  await follower.reached(await log.head());
  t.same(follower.faults, []);
  checkHistory(t, follower.events, acks);
});

await t.test('a silent server: appends are unknown and readers are told, in time, and the process lives', async (t) => {
  const { server, open } = await serverOf(t);
  const log = await open();
  const follower = follow(t, log);
  await follower.reached((await writeStream(log, 'before')).position);
  await server.faults({ silent: true });
  const commits = Array.from({ length: 500 }, (_, number) => commitTo(`silent-${number}`));
  const appended = log.append(commits);
  const reads: Promise<unknown>[] = [log.read('before'), log.head(), log.erase(['before']), log.page(0n, 10)];
  await Promise.all(reads.map((read) => t.rejects(async () => void (await read), { name: 'LogUnavailableError' })));
  t.same(new Set((await appended).map(({ outcome }) => outcome)), new Set(['unknown']));
  t.equal(log.inFlightCommits + log.waitingCommits, 0, 'nothing is left behind');
  await server.faults({ silent: false });
  const answers = await Promise.all(commits.map((commit) => settle(log, commit)));
  const positions = answers.map((answer) => mustBeThere(answer).position);
  await follower.reached(await log.head());
  const seen = follower.events.filter(({ stream }) => stream !== 'before').map(({ position }) => position);
  t.same(
    seen,
    positions.toSorted((a, b) => (a < b ? -1 : 1)),
    'all of them, once',
  );
  t.same(follower.faults, []);
});

await t.test('subscriptions that end without an error, fail, or stall: tails go on where they were', async (t) => {
  const { server, open } = await serverOf(t);
  const log = await open();
  const follower = follow(t, log);
  const acks: Ack[] = [];
  const faults = [
    { endSubscriptions: true },
    { endReads: { count: 3, afterEvents: 2, stream: '^\\$all$' } },
    { failReads: { error: 'unavailable', count: 3, stream: '^\\$all$' }, endSubscriptions: true },
    { failReads: { error: 'not-leader', count: 2, stream: '^\\$all$' }, endSubscriptions: true },
    { cutConnections: true },
    { fallBehind: true },
  ] as const;
  for (const [number, fault] of faults.entries()) {
    const load = runLoad(log, { prefix: `load-${number}`, writers: 10, commitsPerWriter: 10 });
    await follower.more();
    await server.faults(fault);
    acks.push(...(await load));
    await follower.reached((await writeStream(log, `mark-${number}`)).position);
  }
  t.same(follower.faults, []);
  t.equal(follower.resumptions, 0, 'no reader had to begin again');
  checkHistory(
    t,
    follower.events.filter(({ stream }) => !stream.startsWith('mark')),
    acks,
  );
  await server.faults({ reset: true });
  const seen = follower.events.length;
  t.equal((await tailToHead(t, log)).length, seen, 'history is the same');
});

await t.test('what stood where a subscription was is scavenged meanwhile: nothing is left out', async (t) => {
  const { server, open } = await serverOf(t);
  await server.faults({ systemEveryRecords: 0 });
  const [log, other] = [await open(), await open()];
  const follower = follow(t, log);
  for (let round = 0; round < 3; round++) {
    // The last records that come in, before the server is silent to it, are of streams that are about to go.
    const going = Array.from({ length: 5 }, (_, number) => `going-${round}-${number}`);
    let last = 0n;
    for (const stream of going) last = (await writeStream(other, stream)).position;
    await follower.reached(last);
    await server.faults({
      failReads: { error: 'unavailable', count: 'all', stream: '^\\$all$' },
      endSubscriptions: true,
    });
    for (let number = 0; number < 5; number++) await appendOne(other, commitTo(`after-${round}-${number}`));
    await other.erase(going);
    await server.scavenge();
    await server.faults({ failReads: null });
    await follower.reached(await log.head());
  }
  t.same(
    follower.events.filter(({ stream }) => stream.startsWith('after')).map(({ stream }) => stream),
    [0, 1, 2].flatMap((round) => [0, 1, 2, 3, 4].map((number) => `after-${round}-${number}`)),
  );
  t.same(follower.faults, []);
});

await t.test('bounds: what is in flight, and what waits', async (t) => {
  const { server, open } = await serverOf(t);
  const log = await open({ maxInFlightCommits: 4, maxInFlightBytes: 3_000, maxWaitingCommits: 50 });
  await server.faults({ delayMs: 20 });
  const measured: { commits: number; bytes: number }[] = [];
  const asked = Array.from({ length: 80 }, (_, number) => {
    const answer = appendOne(log, commitTo(`s-${number}`, { events: [profile('x'.repeat(1_000))] }));
    measured.push({ commits: log.inFlightCommits, bytes: log.inFlightBytes });
    return answer.finally(() => measured.push({ commits: log.inFlightCommits, bytes: log.inFlightBytes }));
  });
  const outcomes = (await Promise.all(asked)).map(({ outcome }) => outcome);
  t.equal(outcomes.filter((outcome) => outcome === 'unknown').length, 30, 'beyond the limit: not known, at once');
  t.same(new Set(outcomes.slice(0, 50)), new Set(['written']));
  t.equal(Math.max(...measured.map(({ commits }) => commits)), 2, 'two of a thousand bytes and more');
  t.ok(measured.every(({ bytes }) => bytes <= 3_000));
  t.equal(log.inFlightBytes, 0);
});

await t.test('a server that takes less in one append than we may send', async (t) => {
  const { open } = await serverOf(t);
  const log = await open();
  const events = Array.from({ length: 12_000 }, () => profile(null));
  await t.rejects(log.append([commitTo('many', { events })]), { name: 'TooLargeError', maxBytes: 1024 * 1024 });
  t.equal(await log.head(), 0n, 'nothing of it was written');
});

await t.test('a position between two records is refused, not skipped', async (t) => {
  const { open } = await serverOf(t);
  const [log] = [await open()];
  const { position } = await writeStream(log, 'one');
  await writeStream(log, 'two');
  const late = await open();
  const error = { name: 'RangeError', message: /no record of the log begins at position/ };
  await t.rejects(late.page(position + 1n, 10), error);
  const tail = late.tail(position + 1n, new AbortController().signal)[Symbol.asyncIterator]();
  await t.rejects(tail.next(), error);
});

await t.test('every answer of the server is told of: claims, fences and events', async (t) => {
  const { open } = await serverOf(t);
  const answers: AnswerReport[] = [];
  const outcomes: string[] = [];
  const log = await open({
    onAnswer: (answer) => answers.push(answer),
    onAppend: ({ outcome, events }) => outcomes.push(`${outcome} ${events}`),
  });
  await appendOne(log, commitTo('s', { claims: [{ name: 'b' }, { name: 'a' }] }));
  await appendOne(log, commitTo('s'));
  t.same(
    answers.map(({ stream, is }) => `${is} ${stream}`),
    ['stored parley!a', 'stored parley!b', 'stored parley.s', 'conflict parley.s'],
  );
  t.ok(answers.every(({ durationMs }) => durationMs >= 0));
  t.same(outcomes, ['written 1', 'conflict 1']);
});

await t.test('scavenges are started on every node', async (t) => {
  const { server, open } = await serverOf(t);
  const log = await open();
  const asked: (string | undefined)[] = [];
  const node = createServer((request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    response.writeHead(asked.length === 1 ? 200 : 409).end(JSON.stringify({ scavengeId: `id-${asked.length}` }));
  });
  node.listen(0, '127.0.0.1');
  await once(node, 'listening');
  t.teardown(() => node.close());
  const nodeUrl = `http://127.0.0.1:${(node.address() as AddressInfo).port}`;
  await writeStream(log, 'gone');
  await log.erase(['gone']);
  t.same(await typesOf(server.url, 'parley.gone'), ['ProfileChanged', '$streamDeleted']);
  const adminUrls = [...adminOf(server.url).adminUrls, nodeUrl, 'http://127.0.0.1:1'];
  const told: unknown[] = [];
  const credentials = { username: 'ops', password: 'pass word' };
  const results = await scavenge({ adminUrls, credentials, onResult: (result) => told.push(result) });
  t.equal(results.length, 3);
  t.same(new Set(told), new Set(results));
  t.equal(results[0]?.error, null);
  t.same(await typesOf(server.url, 'parley.gone'), ['$streamDeleted'], 'what was erased is gone');
  t.match(results[1], { adminUrl: nodeUrl, scavengeId: 'id-1', error: null });
  t.ok(results[2]?.error instanceof Error, 'one that is away is told of, and holds up no other');
  const again = await scavenge({ adminUrls: [nodeUrl], credentials });
  t.match(again[0], { scavengeId: 'id-2', error: null }, 'one that is under way is as good');
  t.same(new Set(asked), new Set([`POST /admin/scavenge Basic ${Buffer.from('ops:pass word').toString('base64')}`]));
});

await t.test('what a connection string says of the admin API', async (t) => {
  t.same(adminOf('esdb://10.0.0.1:2113,b.example:2114,c.example?tls=false&keepAliveInterval=10000'), {
    adminUrls: ['http://10.0.0.1:2113', 'http://b.example:2114', 'http://c.example:2113'],
    credentials: undefined,
    ca: undefined,
  });
  t.same(adminOf('esdb+discover://ops:p%40ss@log.example:2113'), {
    adminUrls: ['https://log.example:2113'],
    credentials: { username: 'ops', password: 'p@ss' },
    ca: undefined,
  });
  t.throws(() => adminOf('http://log.example'), TypeError);
});

/** The types of the records of one stream, as `$all` holds them. */
async function typesOf(url: string, stream: string): Promise<string[]> {
  const client = EventStoreDBClient.connectionString(url);
  const types: string[] = [];
  for await (const { event } of client.readAll()) if (event?.streamId === stream) types.push(event.type);
  await client.dispose();
  return types;
}
