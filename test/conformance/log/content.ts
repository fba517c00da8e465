/** What is written is what is read: metadata, unusual content, older and newer versions. */
import { randomUUID } from 'node:crypto';
import type { Test } from 'tap';
import {
  type DomainEvent,
  defineEvent,
  type EventCodec,
  event,
  eventCodec,
  eventDefinitions,
  UnknownEventError,
} from '../../../schemas/index.ts';
import { type Log, maxCommitBytes, type RecordedEvent } from '../../../src/log/log.ts';
import { appendOne, commitTo, profile } from '../../support/log-load.ts';
import type { LogAdapter } from './adapter.ts';
import { mustBeWritten, openHandle, tailToHead, writeStream } from './harness.ts';

export async function contentTests(t: Test, adapter: LogAdapter): Promise<void> {
  await t.test('metadata: who, in which trace, when, of which commit', async (t) => {
    const store = await adapter.fresh(t);
    const [log, other] = [await openHandle(t, store), await openHandle(t, store)];
    const commitId = randomUUID();
    const meta = {
      actor: [7, 2_147_483_647] as const,
      trace: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    };
    const full = commitTo('full', { commitId, at: 1_700_000_000_123, meta, events: [profile('0'), profile('1')] });
    const bare = commitTo('bare', { at: 0 });
    const half = commitTo('half', { meta: { actor: [1, 0] } });
    for (const commit of [full, bare, half]) mustBeWritten(await appendOne(log, commit));
    for (const [reader, events] of await everyReader(t, [log, other], ['full', 'bare', 'half'])) {
      t.same(
        events.map(({ commitId, index, at, revision, stream, meta }) => [
          commitId,
          index,
          at,
          revision,
          stream,
          meta.actor,
          meta.trace,
        ]),
        [
          [commitId, 0, 1_700_000_000_123, 0, 'full', meta.actor, meta.trace],
          [commitId, 1, 1_700_000_000_123, 1, 'full', meta.actor, meta.trace],
          [bare.commitId, 0, 0, 0, 'bare', undefined, undefined],
          [half.commitId, 0, half.at, 0, 'half', [1, 0], undefined],
        ],
        reader,
      );
      t.ok(events.every(({ position }) => typeof position === 'bigint'));
    }
  });

  await t.test('unusual content comes back as it was', async (t) => {
    const store = await adapter.fresh(t);
    const [log, other] = [await openHandle(t, store), await openHandle(t, store)];
    const events = unusualEvents();
    mustBeWritten(await appendOne(log, commitTo('unusual', { events })));
    for (const [reader, got] of await everyReader(t, [log, other], ['unusual'])) {
      t.strictSame(
        got.map(({ type, data }) => ({ type, data })),
        events,
        reader,
      );
    }
  });

  await t.test('unusual names of streams and claims', async (t) => {
    const store = await adapter.fresh(t);
    const [log, other] = [await openHandle(t, store), await openHandle(t, store)];
    const names = [
      'ä/😀',
      'a b',
      "it's",
      'a"b\\c',
      '{x,y}',
      'NULL',
      '%_',
      'S',
      's',
      '$all',
      'x'.repeat(500),
      'u\u0301',
      'ú',
    ];
    for (const name of names) {
      const claims = [{ name: `claim ${name}`, made: `"made ${name}"` }];
      mustBeWritten(await appendOne(log, commitTo(name, { events: [profile(name)], claims })));
    }
    for (const name of names) {
      const { events } = await other.read(name);
      t.same(
        events.map(({ stream, data }) => [stream, data]),
        [[name, profile(name).data]],
      );
      const late = await appendOne(other, commitTo(`late ${name}`, { claims: [{ name: `claim ${name}` }] }));
      t.same(late, { outcome: 'taken', name: `claim ${name}`, by: { stream: name, made: `"made ${name}"` } });
    }
    t.same(
      (await tailToHead(t, other)).map(({ stream }) => stream),
      names,
    );
  });

  await t.test('a commit of very many events', async (t) => {
    const store = await adapter.fresh(t);
    const [log, other] = [await openHandle(t, store), await openHandle(t, store)];
    const events = Array.from({ length: 5_000 }, (_, number) => profile(`${number}`));
    t.ok(JSON.stringify(events).length < maxCommitBytes);
    const { revision } = mustBeWritten(await appendOne(log, commitTo('many', { events })));
    t.equal(revision, 4_999);
    for (const [reader, got] of await everyReader(t, [log, other], ['many'])) {
      t.equal(got.length, 5_000, reader);
      t.ok(
        got.every((event, index) => event.index === index && event.revision === index),
        `${reader}: in order`,
      );
      t.same(
        got.map(({ data }) => data),
        events.map(({ data }) => data),
        reader,
      );
    }
  });

  await t.test('a stored old version is read in the current shape', async (t) => {
    const store = await adapter.fresh(t);
    const old = await openHandle(t, store, version(1));
    mustBeWritten(await appendOne(old, commitTo('s', { events: [profile('one'), profile(null)] })));
    t.same(names((await old.read('s')).events), ['one', null]);
    const middle = await openHandle(t, store, version(2));
    mustBeWritten(await appendOne(middle, commitTo('s', { expected: 1, events: [profile('two')] })));
    const current = await openHandle(t, store, version(3));
    mustBeWritten(await appendOne(current, commitTo('s', { expected: 2, events: [profile('three')] })));
    const late = await openHandle(t, store, version(3));
    for (const [reader, events] of await everyReader(t, [current, late], ['s'])) {
      t.same(names(events), ['one+2+3', '+2+3', 'two+3', 'three'], `${reader}: each from its own version on`);
    }
    const again = await openHandle(t, store, version(3));
    t.same(
      names((await again.read('s')).events),
      ['one+2+3', '+2+3', 'two+3', 'three'],
      'what is stored stays as it was',
    );
  });

  await t.test('a version newer than the code stops its reader with one clear line', async (t) => {
    const store = await adapter.fresh(t);
    const [newer, older] = [await openHandle(t, store, version(3)), await openHandle(t, store, version(2))];
    const start = await writeStream(older, 'readable');
    // The older code's tail is running when the newer event comes; another begins afterwards.
    const running = errorOfTail(older, 0n);
    mustBeWritten(await appendOne(newer, commitTo('newer')));
    await writeStream(older, 'after');
    const late = await openHandle(t, store, version(2));
    const message = /ProfileChanged.*version 3.*up to 2/;
    for (const tail of [running, errorOfTail(older, 0n), errorOfTail(late, 0n), errorOfTail(late, start.position)]) {
      const { error, events } = await tail;
      t.ok(error instanceof UnknownEventError, String(error));
      t.match(String(error), message);
      t.notOk(String(error).includes('\n'), 'one line');
      t.same(
        events.filter(({ stream }) => stream !== 'readable'),
        [],
        'nothing from there on',
      );
    }
    for (const handle of [older, late]) {
      await t.rejects(handle.read('newer'), { name: 'UnknownEventError', message });
      await t.rejects(handle.page(0n, 10), { name: 'UnknownEventError', message });
      t.equal((await handle.read('readable')).events.length, 1, 'other streams are read');
    }
    t.equal((await newer.read('newer')).events.length, 1);
    t.equal((await tailToHead(t, newer)).length, 3, 'the newer code reads on');
  });
}

function unusualEvents(): DomainEvent[] {
  const texts = [
    '',
    ' ',
    'null',
    '\u0000',
    'a\u0000b\u0001\u001f\u007f\u0080',
    '\\u0000',
    '"quoted" \'twice\' `thrice`',
    'back\\slash \\\\ \\n',
    'line\nfeed\r\n\ttab\u2028\u2029',
    '😀👩‍👩‍👧‍👦🇩🇪',
    'e\u0301 is not é',
    'שלום مرحبا 你好',
    '\ufeff\ufffe\uffff\u{10ffff}',
    '\ud800 alone',
    'alone \udc00\ud800',
    '{curly,"braces"} NULL',
    '</script>%s$1',
    '𝕏'.repeat(5_000),
  ];
  const numbers = [0, -1, 0.1, 1e21, 5e-324, Number.MAX_VALUE, Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER, 1e-7];
  return [
    ...texts.map((text) => profile(text)),
    profile(null),
    event('ProfileChanged', { workspace: 1, account: 1 }),
    event('TierChanged', { workspace: 2_147_483_647, account: 0, tier: 'enterprise' }),
    ...numbers.map((sentAt) =>
      event('DispatchSent', { workspace: 1, dispatch: 'd', connector: 1, externalId: '', attempt: 1, sentAt }),
    ),
    event('TemplateCreated', {
      workspace: 1,
      template: 1,
      name: '',
      connectorType: 'telegram',
      content: '{{name}}\u0000',
      variables: ['', '\u0000', '__proto__', 'constructor'],
    }),
    event('TemplateCreated', {
      workspace: 1,
      template: 1,
      name: 'n',
      connectorType: 'twilio',
      content: '',
      variables: [],
    }),
  ];
}

/** The language as it was at a version of ProfileChanged: each upcaster leaves its mark in the name. */
function version(number: number): EventCodec {
  const mark = (to: number) => (data: unknown) => {
    const old = data as { displayName?: string | null };
    return { ...old, displayName: `${old.displayName ?? ''}+${to}` };
  };
  const schema = eventDefinitions.ProfileChanged.schema;
  const ProfileChanged = defineEvent(schema, number, { 1: mark(2), 2: mark(3) });
  return eventCodec({ ...eventDefinitions, ProfileChanged });
}

function names(events: readonly RecordedEvent[]): unknown[] {
  return events.map(({ data }) => (data as { displayName?: string | null }).displayName);
}

/** The events of these streams, in the order of the log, as each way of reading gives them. */
async function everyReader(
  t: Test,
  logs: readonly Log[],
  streams: readonly string[],
): Promise<[string, RecordedEvent[]][]> {
  const readers: [string, RecordedEvent[]][] = [];
  for (const [number, log] of logs.entries()) {
    const read: RecordedEvent[] = [];
    for (const stream of streams) read.push(...(await log.read(stream)).events);
    readers.push([`read ${number}`, read], [`tail ${number}`, await tailToHead(t, log)]);
    readers.push([`page ${number}`, [...(await log.page(0n, 10_000)).events]]);
  }
  return readers;
}

/** Follows a tail until it fails; what it gave before. */
async function errorOfTail(log: Log, from: bigint): Promise<{ error: unknown; events: RecordedEvent[] }> {
  const events: RecordedEvent[] = [];
  try {
    for await (const batch of log.tail(from, new AbortController().signal)) events.push(...batch.events);
    return { error: null, events };
  } catch (error) {
    return { error, events };
  }
}
