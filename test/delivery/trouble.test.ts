import t from 'tap';
import { Troubles } from '../../src/delivery/trouble.ts';

t.test('one line a second per cause, and how many were not said', async (t) => {
  const lines: { unsaid?: number; err: unknown }[] = [];
  let nowMs = 1_000;
  const warn = (fields: object) => lines.push(fields as (typeof lines)[number]);
  const troubles = new Troubles({ warn }, 'trouble', () => nowMs);
  for (let i = 0; i < 500; i++) troubles.tell(new Error(`connect ECONNREFUSED 127.0.0.1:${5_000 + i}`));
  troubles.tell(new TypeError('another'));
  troubles.tell('a text');
  t.equal(lines.length, 3);
  nowMs += 999;
  troubles.tell(new TypeError('another'));
  t.equal(lines.length, 3);
  nowMs += 1;
  troubles.tell(new Error('connect ECONNREFUSED 127.0.0.1:1'));
  troubles.tell(new TypeError('another'));
  t.same(
    lines.slice(3).map(({ unsaid }) => unsaid),
    [499, 1],
  );
});
