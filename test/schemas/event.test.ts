/** Versions of events, and what older ones become. */
import t from 'tap';
import { z } from 'zod';
import { codec, defineEvent, eventCodec, eventDefinitions, UnknownEventError } from '../../schemas/index.ts';

const renamed = defineEvent(z.object({ title: z.string(), tags: z.array(z.string()) }), 3, {
  1: (data) => ({ title: (data as { name: string }).name }),
  2: (data) => ({ ...(data as { title: string }), tags: [] }),
});
const own = eventCodec({ Renamed: renamed, Plain: defineEvent(z.object({})) });

t.test('older versions become the current one, step by step', async (t) => {
  const current = { title: 'x', tags: [] };
  t.strictSame(own.upcast('Renamed', 1, { name: 'x' }), current);
  t.strictSame(own.upcast('Renamed', 2, { title: 'x' }), current);
  t.strictSame(own.upcast('Renamed', 3, { title: 'x', tags: ['a'] }), { title: 'x', tags: ['a'] });
  t.equal(own.versionOf('Renamed'), 3);
  t.equal(own.versionOf('Plain'), 1);
});

t.test('a chain has no holes', async (t) => {
  t.throws(() => defineEvent(z.object({}), 3, { 1: (data) => data }), { message: 'no upcaster from version 2' });
  t.throws(() => defineEvent(z.object({}), 2), { message: 'no upcaster from version 1' });
});

t.test('what this code does not know stops its reader', async (t) => {
  for (const type of ['Nobody', '__proto__', 'constructor']) {
    t.throws(() => own.versionOf(type), UnknownEventError, type);
    t.throws(() => own.upcast(type, 1, {}), UnknownEventError, type);
  }
  t.throws(() => own.upcast('Renamed', 4, {}), {
    name: 'UnknownEventError',
    message: 'the log holds Renamed of version 4, this version of Parley knows up to 3',
  });
  t.throws(() => own.upcast('Nobody', 1, {}), {
    message: 'the log holds events of type Nobody, which this version of Parley does not know',
  });
  t.throws(() => own.upcast('Renamed', 0, {}), UnknownEventError, 'there is no version 0');
});

t.test('the types there are', async (t) => {
  for (const [type, { version }] of Object.entries(eventDefinitions)) {
    t.equal(codec.versionOf(type), version);
    const data = { some: 'data' };
    t.equal(codec.upcast(type, version, data), data, 'the current version is passed on as it is');
  }
});
