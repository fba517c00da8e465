/** Ids that rise with the log on every node (design section 7). */
import t from 'tap';
import { type DomainError, type IdKind, streams } from '../../src/commands/index.ts';
import { account } from '../../src/domain/account.ts';
import { gate, type Node, refusal, times, type World, world } from './world.ts';

/** Opens an account under the next id. */
function open({ door, ids }: Node, workspace = 1): Promise<number> {
  return ids.next(workspace, 'account', async (id) => {
    const actor = { workspace, account: id };
    const command = { command: 'OpenAccount', ...actor, kind: 'bot' } as const;
    await door.execute(account, streams.account(workspace, id), command, actor, { isNew: true });
    return id;
  });
}

/** Ids of the accounts of a workspace, in the order of the log. */
async function inLog(w: World, workspace = 1): Promise<number[]> {
  const opened = (await w.events()).flatMap((event) => (event.type === 'AccountOpened' ? [event.data] : []));
  return opened.filter((data) => data.workspace === workspace).map((data) => data.account);
}

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1);

async function lastOf(w: World): Promise<number | undefined> {
  return (await w.ask<{ last: number }>('SELECT last FROM work.counters WHERE workspace = 1 AND kind = 2'))[0]?.last;
}

t.test('two nodes at once: ids and positions in the same order, none left out', async (t) => {
  const w = await world(t);
  const nodes = [await w.node(), await w.node()] as const;
  const given = await times(40, (i) => open(nodes[i % 2] as Node));
  t.strictSame(
    given.toSorted((a, b) => a - b),
    upTo(40),
  );
  t.strictSame(await inLog(w), upTo(40));
  t.equal(await open(nodes[0], 7), 1, 'each workspace counts for itself');
  t.equal(await nodes[0].ids.next(1, 'key', async (id) => id), 1, 'and each kind');
});

t.test('a number is used up when something was made under it', async (t) => {
  const w = await world(t);
  const node = await w.node();
  t.equal(await open(node), 1);
  for (const failure of [new Error('no'), new TypeError('no')]) {
    await t.rejects(
      node.ids.next(1, 'account', async (id) => {
        t.equal(id, 2);
        throw failure;
      }),
      failure,
    );
  }
  t.equal(await open(node), 2);
  t.strictSame(await inLog(w), [1, 2]);
  t.equal(node.pool.idleCount, node.pool.totalCount, 'every connection is given back');
});

t.test('a counter that was lost is made anew from the log', async (t) => {
  const w = await world(t);
  const nodes = [await w.node(), await w.node()] as const;
  await times(5, () => open(nodes[0]));
  await w.ask('DELETE FROM work.counters');
  const given = await times(20, (i) => open(nodes[i % 2] as Node));
  t.strictSame(
    given.toSorted((a, b) => a - b),
    upTo(25).slice(5),
  );
  t.strictSame(await inLog(w), upTo(25));
});

t.test('a counter behind the log moves on to what is free', async (t) => {
  const w = await world(t);
  const node = await w.node();
  for (let i = 0; i < 12; i++) await open(node);
  await w.ask('UPDATE work.counters SET last = 3');
  t.equal(await open(node), 13);
  t.equal(await lastOf(w), 13);
  t.strictSame(await inLog(w), upTo(13));
});

t.test('who makes something holds up who comes after', async (t) => {
  const w = await world(t);
  const [a, b] = [await w.node(), await w.node()] as const;
  const order: string[] = [];
  const [inside, go] = [gate(), gate()];
  const slow = a.ids.next(1, 'account', async (id) => {
    inside.open();
    await go.opened;
    order.push(`slow ${id}`);
    return id;
  });
  await inside.opened;
  const quick = b.ids.next(1, 'account', async (id) => order.push(`quick ${id}`));
  const waiting = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
  while ((await w.ask(waiting)).length === 0);
  go.open();
  await Promise.all([slow, quick]);
  t.strictSame(order, ['slow 1', 'quick 2']);
  const other: IdKind = 'template';
  t.equal(
    await a.ids.next(1, other, async (id) => b.ids.next(1, 'key', async (key) => id + key)),
    2,
    'other kinds do not wait',
  );
});

t.test('a connection that breaks while something is made', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const code = await refusal(() =>
    node.ids.next(1, 'account', async (id) => {
      await w.ask(
        `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = 'parley-test-node' AND state = 'idle in transaction'`,
      );
      const actor = { workspace: 1, account: id };
      const command = { command: 'OpenAccount', ...actor, kind: 'bot' } as const;
      await node.door.execute(account, streams.account(1, id), command, actor, { isNew: true });
      return id;
    }),
  );
  t.equal(code, 'unavailable' satisfies DomainError['code'], 'it is not known to be made');
  t.strictSame(await inLog(w), [1], 'and was');
  t.equal(await open(node), 2, 'its number is not given again');
  t.strictSame(await inLog(w), [1, 2]);
});
