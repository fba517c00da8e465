/** What counts as too much said. */
import t from 'tap';
import { chatterOf } from './log-lines.ts';

const line = (ms: number, msg: string, more: object = {}): string =>
  JSON.stringify({ level: 'warn', time: new Date(1_800_000_000_000 + ms).toISOString(), pid: 7, msg, ...more });

const lines = (count: number, everyMs: number, msg: (n: number) => string, more: object = {}): string =>
  Array.from({ length: count }, (_, n) => line(n * everyMs, msg(n), more)).join('\n');

t.test('ten lines a second of one cause are allowed, eleven are not', async (t) => {
  t.same(chatterOf(lines(100, 100, () => 'again')), []);
  t.match(chatterOf(lines(100, 99, () => 'again')), [{ pid: 7, cause: 'warn again', lines: 11 }]);
});

t.test('numbers make no other cause, groups and errors do', async (t) => {
  t.match(chatterOf(lines(11, 10, (n) => `partition ${n} failed`)), [{ lines: 11 }]);
  const two = [lines(10, 10, () => 'failed', { group: 'a' }), lines(10, 10, () => 'failed', { group: 'b' })];
  t.same(chatterOf(two.join('\n')), []);
  const errors = Array.from({ length: 20 }, (_, n) => line(n, 'failed', { err: { message: n % 2 ? 'one' : 'other' } }));
  t.same(chatterOf(errors.join('\n')), []);
});

t.test('what is no JSON counts at the time of the line before it', async (t) => {
  const trace = Array.from({ length: 12 }, (_, n) => `    at somewhere (file.ts:${n})`);
  t.match(chatterOf([line(0, 'begun'), ...trace].join('\n')), [{ cause: 'no JSON', lines: 12 }]);
});
