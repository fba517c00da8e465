/** The stand-in's reading half, through the real client: `$all`, subscriptions, filters, scavenges. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import {
  type AllStreamResolvedEvent,
  END,
  ErrorType,
  type EventStoreDBClient,
  eventTypeFilter,
  excludeSystemEvents,
  type Position,
  START,
  streamNameFilter,
} from '@eventstore/db-client';
import t from 'tap';
import { all, event, open, positionOf, refusal, told, untilCaughtUp, written } from './client.ts';

/** Appends one event to each of so many streams, `prefix-0` and on. */
async function fill(client: EventStoreDBClient, prefix: string, count: number): Promise<Position[]> {
  const positions: Position[] = [];
  for (let index = 0; index < count; index += 1) {
    const { position } = await client.appendToStream(`${prefix}-${index}`, event(`${prefix} ${index}`));
    positions.push(position!);
  }
  return positions;
}

t.test('$all from a position', async (t) => {
  const { client } = await open(t);
  const positions = await fill(client, 's', 5);
  const later = positions.slice(1);
  t.ok(
    later.every(({ commit, prepare }, index) => commit === prepare && commit > positions[index]!.commit + 1n),
    'positions rise and are never consecutive',
  );
  const fromPosition = positions[2]!;
  const streams = (events: AllStreamResolvedEvent[]) => events.map((each) => each.event?.streamId);
  t.same(streams(await all(client.readAll({ fromPosition }))), ['s-2', 's-3', 's-4'], 'a read begins at it');
  t.same(
    streams(await untilCaughtUp(client.subscribeToAll({ fromPosition }))),
    ['s-3', 's-4'],
    'a subscription after it',
  );
  const backwards = { direction: 'backwards', maxCount: 2 } as const;
  t.same(streams(await all(client.readAll({ fromPosition, ...backwards }))), ['s-1', 's-0']);
  t.same(streams(await all(client.readAll({ fromPosition: END, ...backwards }))), ['s-4', 's-3']);
  const between = { commit: fromPosition.commit + 1n, prepare: fromPosition.commit + 1n };
  t.match(await refusal(all(client.readAll({ fromPosition: between }))), { type: ErrorType.UNKNOWN, code: 3 });
  const subscription = client.subscribeToAll({ fromPosition: between });
  const [error] = (await once(subscription, 'error')) as [Error];
  t.match(error, { type: ErrorType.UNKNOWN, code: 3 });
});

t.test('$all has events of the server itself', async (t) => {
  const { db, client } = await open(t);
  await db.faults({ systemEveryRecords: 2 });
  await fill(client, 's', 4);
  await client.setStreamMetadata('s-0', { owner: 'me' });
  const types = (await all(client.readAll())).map((each) => each.event?.type ?? '');
  t.ok(types.includes('$metadata'));
  t.ok(types.filter((type) => type === '$statsCollected').length >= 2);
  t.match(await client.getStreamMetadata('s-0'), { metadata: { owner: 'me' } });
  const filtered = await untilCaughtUp(client.subscribeToAll({ filter: excludeSystemEvents() }));
  t.same(
    filtered.map((each) => each.event?.type),
    ['said', 'said', 'said', 'said'],
  );
});

t.test('a subscription goes on, live', async (t) => {
  const { db, client } = await open(t);
  await fill(client, 'old', 40);
  const subscription = client.subscribeToAll({
    fromPosition: START,
    filter: streamNameFilter({ prefixes: ['o', 'n'] }),
  });
  const seen: string[] = [];
  const arrived = new Promise<void>((resolve) => {
    subscription.on('data', (each: AllStreamResolvedEvent) => {
      seen.push(told(each));
      if (each.event?.streamId === 'new-39') resolve();
    });
  });
  await once(subscription, 'caughtUp');
  t.equal(seen.length, 40);
  const told_ = [once(subscription, 'fellBehind'), once(subscription, 'caughtUp')];
  await db.faults({ fallBehind: true });
  await Promise.all(told_);
  await fill(client, 'new', 40);
  await arrived;
  const expected = ['old', 'new'].flatMap((prefix) =>
    Array.from({ length: 40 }, (_, index) => `${prefix}-${index} 0 ${prefix} ${index}`),
  );
  t.same(seen, expected);
  await subscription.unsubscribe();
});

t.test('a subscriber that does not keep up falls behind, and loses nothing', async (t) => {
  const { client } = await open(t);
  const subscription = client.subscribeToAll({ fromPosition: END });
  await once(subscription, 'confirmation');
  const kept = 'x'.repeat(10_000);
  const count = 400;
  const fallen = once(subscription, 'fellBehind');
  // Nothing is read yet: what stands in the way fills up.
  const numbers = Array.from({ length: count }, (_, index) => index);
  await Promise.all(numbers.map((number) => client.appendToStream('flood', event(`${number} ${kept}`))));
  const seen: bigint[] = [];
  for await (const each of subscription) {
    if (each.event?.streamId === 'flood') seen.push(each.event.revision);
    if (seen.length === count) break;
  }
  await fallen;
  t.same(seen, numbers.map(BigInt));
});

t.test('checkpoints of a filtered subscription', async (t) => {
  const { client } = await open(t);
  const noise = await fill(client, 'noise', 25);
  const checkpoints: Position[] = [];
  const filter = eventTypeFilter({
    prefixes: ['wanted'],
    maxSearchWindow: 5,
    checkpointInterval: 2,
    checkpointReached: async (_subscription: unknown, position: Position) => {
      checkpoints.push(position);
    },
  });
  const subscription = client.subscribeToAll({ fromPosition: START, filter });
  subscription.resume();
  await once(subscription, 'caughtUp');
  t.equal(checkpoints.length, 2, 'history without a match still moves on: one after each ten events');
  t.ok(checkpoints.every(({ commit }, index) => index === 0 || commit > checkpoints[index - 1]!.commit));
  t.ok(checkpoints.at(-1)!.commit <= noise.at(-1)!.commit, 'none beyond what was looked at');
  const known = checkpoints.length;
  const live = await fill(client, 'live', 10);
  await client.appendToStream('end', { ...event('end'), type: 'wanted' });
  await once(subscription, 'data');
  t.equal(checkpoints.length, known + 1, 'one after ten events more');
  t.ok(live.some(({ commit }) => commit === checkpoints.at(-1)!.commit));
  const [next] = await untilCaughtUp(client.subscribeToAll({ fromPosition: checkpoints.at(-1)!, filter }));
  t.equal(next?.event?.streamId, 'end');
  await subscription.unsubscribe();
});

t.test('a stream from a revision, both ways, and live', async (t) => {
  const { client } = await open(t);
  await client.appendToStream(
    's',
    ['0', '1', '2', '3'].map((data) => event(data)),
  );
  const data = async (read: Promise<{ event?: { data: unknown } }[]>) => (await read).map((each) => each.event?.data);
  t.same(await data(all(client.readStream('s', { fromRevision: 2n }))), ['2', '3']);
  t.same(await data(all(client.readStream('s', { fromRevision: 9n }))), []);
  t.same(await data(all(client.readStream('s', { fromRevision: END, direction: 'backwards', maxCount: 1 }))), ['3']);
  t.same(await data(all(client.readStream('s', { fromRevision: 1n, direction: 'backwards' }))), ['1', '0']);
  t.match(await refusal(all(client.readStream('none'))), { type: ErrorType.STREAM_NOT_FOUND });
  const [read] = await all(client.readStream('s', { maxCount: 1 }));
  t.same(read?.event?.position, positionOf((await written(client))[0]), 'with its position in $all');
  const subscription = client.subscribeToStream('s', { fromRevision: 2n });
  const seen: unknown[] = [];
  subscription.on('data', (each: { event?: { data: unknown } }) => seen.push(each.event?.data));
  await once(subscription, 'caughtUp');
  t.same(seen, ['3']);
  const next = once(subscription, 'data');
  await client.appendToStream('s', event('4'));
  await next;
  t.same(seen, ['3', '4']);
  const failed = once(subscription, 'error');
  await client.tombstoneStream('s');
  t.match(await failed, [{ type: ErrorType.STREAM_DELETED }]);
});

t.test('a scavenge', async (t) => {
  const { db, client } = await open(t);
  const kept = await client.appendToStream('kept', event('kept'));
  const gone = await client.appendToStream('gone', [event('needle 1'), event('needle 2')]);
  await client.setStreamMetadata('gone', { owner: 'needle 3' });
  await client.appendToStream('soft', [event('needle 4'), event('the last of it')]);
  const after = await client.appendToStream('after', event('after'));
  await client.tombstoneStream('gone');
  await client.deleteStream('soft');
  const before = await written(client);
  t.equal(before.length, 7, 'readers go on getting what was deleted');

  const basic = { authorization: `Basic ${Buffer.from('admin:changeit').toString('base64')}` };
  const response = await fetch(`${db.adminUrl}/admin/scavenge`, { method: 'POST', headers: basic });
  t.equal(response.status, 200);
  const { scavengeId } = (await response.json()) as { scavengeId: string };
  t.same(await (await fetch(`${db.adminUrl}/admin/scavenge/current`)).json(), {});
  t.match(await (await fetch(`${db.adminUrl}/admin/scavenge/last`)).json(), { scavengeId, scavengeResult: 'Success' });
  const told_ = await all(client.readStream('$scavenges', { resolveLinkTos: true }));
  t.match(
    told_.map((each) => each.event),
    [{ type: '$scavengeStarted' }, { type: '$scavengeCompleted', data: { scavengeId, result: 'Success' } }],
  );

  const check = async (of: EventStoreDBClient) => {
    const events = await written(of);
    t.same(
      events.map((each) => `${each.event?.streamId} ${each.event?.type}`),
      ['kept said', 'soft said', 'after said', 'gone $streamDeleted'],
    );
    const places = new Map(before.map((each) => [each.event?.id, each.event?.position]));
    t.ok(events.every((each) => each.event?.position.commit === places.get(each.event?.id ?? '')?.commit));
    t.match(await refusal(of.appendToStream('gone', event('x'))), { type: ErrorType.STREAM_DELETED });
    t.match(await of.appendToStream('gone-too', event('x')), { success: true });
    await of.tombstoneStream('gone-too');
    await db.scavenge();
  };
  await check(client);
  t.notMatch(await readFile(db.file, 'utf8'), /needle/, 'nor is it in the file');

  await t.test('that is refused', async (t) => {
    for (const [scavenge, status] of [
      ['in-progress', 400],
      ['unauthorized', 401],
    ] as const) {
      await db.faults({ scavenge });
      t.equal((await fetch(`${db.adminUrl}/admin/scavenge`, { method: 'POST' })).status, status);
    }
  });

  await t.test('from the position of an event that is gone', async (t) => {
    const fromPosition = gone.position!;
    const streams = (events: AllStreamResolvedEvent[]) => events.map((each) => each.event?.streamId).slice(0, 2);
    t.same(streams(await all(client.readAll({ fromPosition }))), ['soft', 'after'], 'a read goes on behind it');
    const filter = excludeSystemEvents();
    t.same(streams(await untilCaughtUp(client.subscribeToAll({ fromPosition, filter }))), ['after'], 'one too far');
    await db.faults({ resumeAtRemoved: 'exact' });
    t.same(streams(await untilCaughtUp(client.subscribeToAll({ fromPosition, filter }))), ['soft', 'after']);
    t.ok(kept.position!.commit < after.position!.commit);
  });
});
