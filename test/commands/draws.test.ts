/** Numbers that many draw together (design section 7): dense, and in the order of the log. */
import t from 'tap';
import { type Actor, type DomainError, streams } from '../../src/commands/index.ts';
import { message } from '../../src/domain/message.ts';
import { makeClient, text } from './chat.ts';
import { startPoster } from './poster.ts';
import { type Node, refusal, times, type World, world } from './world.ts';

/** Numbers of messages and what they say, in the order of the log. */
async function inLog(w: World): Promise<{ message: number; said: string }[]> {
  return (await w.events()).flatMap((event) =>
    event.type === 'MessagePosted' ? [{ message: event.data.message, said: event.data.body.text }] : [],
  );
}

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1);

/** Answers come before the counter is let go: the last number, when it was. */
async function lastOf(w: World, workspace: number, ...nodes: Node[]): Promise<number | undefined> {
  for (const { pool } of nodes) while (pool.idleCount < pool.totalCount) await new Promise(setImmediate);
  const counted = 'SELECT last FROM work.counters WHERE workspace = $1 AND kind = 8';
  return (await w.ask<{ last: number }>(counted, [workspace]))[0]?.last;
}

async function makeRoom(node: Node): Promise<{ actor: Actor; room: number; workspace: number }> {
  const client = await makeClient(node);
  const actor = await client.user('ada');
  return { actor, room: await client.group(actor), workspace: client.workspace };
}

t.test('two nodes at once: ids and positions in the same order, none left out', async (t) => {
  const w = await world(t);
  const nodes = [await w.node(), await w.node()] as const;
  const { actor, room, workspace } = await makeRoom(nodes[0]);
  const posted = await times(600, (i) => (nodes[i % 2] as Node).messages.post(actor, text(room, String(i))));
  const log = await inLog(w);
  t.same(
    log.map((entry) => entry.message),
    upTo(600),
  );
  for (const [i, { message: id, position }] of posted.entries()) {
    if (log[id - 1]?.said !== String(i) || position === null) t.fail(`message ${id} is another`);
  }
  t.equal(await lastOf(w, workspace, ...nodes), 600);
});

for (const at of ['before', 'after'] as const) {
  t.test(`a process frozen ${at} its append, inside: ids and positions in the same order`, async (t) => {
    const w = await world(t);
    const { actor, room } = await makeRoom(await w.node());
    const [frozen, other] = await Promise.all([startPoster(t, w.url), startPoster(t, w.url)]);
    const order = (who: string, from: number, n: number) => ({
      ...actor,
      room,
      texts: upTo(n).map((i) => `${who} ${from + i}`),
    });
    const before = await Promise.all([frozen.post(order('f', 0, 40)), other.post(order('o', 0, 40))]);
    const still = await frozen.postFrozen(order('f', 40, 30), at);
    // They wait for the one that stands still until its transaction is ended for it.
    const meanwhile = await other.post(order('o', 40, 50));
    still.thaw();
    const late = await still.posted;
    const after = await Promise.all([frozen.post(order('f', 70, 10)), other.post(order('o', 90, 10))]);

    const log = await inLog(w);
    t.same(
      log.map((entry) => entry.message),
      upTo(180),
      'dense, and in the order of the log',
    );
    t.equal(new Set(log.map(({ said }) => said)).size, 180, 'nothing twice');
    const said = (ids: readonly number[]) => ids.map((id) => log[id - 1]?.said);
    t.same(said(before.flat()), [...order('f', 0, 40).texts, ...order('o', 0, 40).texts]);
    t.same(said(late), order('f', 40, 30).texts, 'everybody is told the number that it got');
    t.same(said(meanwhile), order('o', 40, 50).texts);
    t.same(said(after.flat()), [...order('f', 70, 10).texts, ...order('o', 90, 10).texts]);
    const [first, second] = at === 'before' ? [meanwhile, late] : [late, meanwhile];
    t.ok(Math.max(...first) < Math.min(...second));
  });
}

t.test('a counter that is behind the log, or was lost, moves on to what is free', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const { actor, room, workspace } = await makeRoom(node);
  await times(50, (i) => node.messages.post(actor, text(room, String(i))));
  await lastOf(w, workspace, node);
  for (const [i, loss] of [
    'UPDATE work.counters SET last = 3 WHERE kind = 8',
    'DELETE FROM work.counters WHERE kind = 8',
  ].entries()) {
    await w.ask(loss);
    await times(20, (n) => node.messages.post(actor, text(room, `${loss} ${n}`)));
    t.equal(await lastOf(w, workspace, node), 50 + 20 * (i + 1));
  }
  t.same(
    (await inLog(w)).map((entry) => entry.message),
    upTo(90),
  );
  await lastOf(w, workspace, node);
  await w.ask('UPDATE work.counters SET last = 3 WHERE kind = 8');
  t.equal((await node.messages.post(actor, text(room, 'alone'))).message, 91);
});

t.test('one that is too large does not harm the others', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const { actor, room } = await makeRoom(node);
  const large = 'ä'.repeat(200_000);
  const posted = await times(30, (i) =>
    node.messages.post(actor, text(room, i % 10 === 5 ? large : String(i))).then(
      ({ message: id }) => id,
      (error: DomainError) => error.code,
    ),
  );
  t.equal(posted.filter((each) => each === 'too-large').length, 3);
  t.same(
    posted.filter((each) => typeof each === 'number').toSorted((a, b) => a - b),
    upTo(27),
  );
});

t.test('keyed ones among others: no number twice, and none lost but by a replay', async (t) => {
  const w = await world(t);
  const nodes = [await w.node(), await w.node()] as const;
  const { actor, room } = await makeRoom(nodes[0]);
  const posted = await times(120, (i) =>
    (nodes[i % 2] as Node).messages.post(
      actor,
      text(room, i % 3 === 0 ? `key ${i % 4}` : String(i)),
      i % 3 === 0 ? { key: String(i % 4), route: 'r' } : undefined,
    ),
  );
  const log = await inLog(w);
  t.equal(log.length, 80 + 4);
  t.same(
    log.map((entry) => entry.message),
    log.map((entry) => entry.message).toSorted((a, b) => a - b),
    'in the order of the log',
  );
  t.equal(new Set(posted.map(({ message: id }) => id)).size, 84);
});

t.test('what cannot be reached is unavailable, and is made later', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const { actor, room, workspace } = await makeRoom(node);
  await w.ask('ALTER TABLE work.counters RENAME TO elsewhere');
  await t.rejects(node.messages.post(actor, text(room, 'x')), /work.counters/, 'a defect is not hidden');
  await w.ask('ALTER TABLE work.elsewhere RENAME TO counters');
  const posting = times(5, (i) => node.messages.post(actor, text(room, String(i))));
  t.equal((await posting).length, 5);
  node.door.drain();
  t.equal(await refusal(() => node.messages.post(actor, text(room, 'x'))), 'unavailable');
  t.equal(await lastOf(w, workspace, node), 5);
  t.equal(node.pool.idleCount, node.pool.totalCount, 'every connection is given back');
  const other = await w.node();
  t.ok((await other.door.load(message, streams.message(workspace, 5))).exists);
  t.equal((await other.messages.post(actor, text(room, 'x'))).message, 6);
});
