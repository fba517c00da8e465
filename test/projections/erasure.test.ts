import t from 'tap';
import { makeHistory, randomOf } from './history.ts';
import { cut, rowsFrom, scratchDatabase, seedOf } from './scratch.ts';

const histories = 6;
const length = 250;

t.test('rows do not depend on how the history is cut into batches', async (t) => {
  const client = await scratchDatabase(t);
  const seed = seedOf(t);
  for (let i = 0; i < 2; i++) {
    const random = randomOf(seed + i);
    const events = makeHistory(seed + i, length).recorded();
    const whole = await rowsFrom(client, `whole${i}`, [events]);
    t.ok(whole.dispatches?.length, 'the history has dispatches');
    t.same(await rowsFrom(client, `single${i}`, cut(random, events, 1)), whole, `event by event, ${seed + i}`);
    t.same(await rowsFrom(client, `cut${i}`, cut(random, events, 40)), whole, `in batches, ${seed + i}`);
  }
});

t.test('history with its erasures and blanked history give the same rows', async (t) => {
  const client = await scratchDatabase(t);
  const seed = seedOf(t);
  for (let i = 0; i < histories; i++) {
    const random = randomOf(seed + i);
    const maker = makeHistory(seed + i, length);
    const events = maker.recorded();
    const kept = await rowsFrom(client, `kept${i}`, cut(random, events, 60));
    t.ok(
      kept.dispatches?.some((row) => row.includes('"erased": true')),
      'something was erased',
    );
    const all = new Set(maker.erasable);
    const blanked = events.filter(({ stream }) => !all.has(stream));
    t.ok(blanked.length < events.length, 'something was blanked');
    t.same(await rowsFrom(client, `blanked${i}`, cut(random, blanked, 60)), kept, `all of it blanked, ${seed + i}`);
    const some = new Set(maker.erasable.filter(() => random() < 0.5));
    const half = events.filter(({ stream }) => !some.has(stream));
    t.same(await rowsFrom(client, `half${i}`, cut(random, half, 60)), kept, `some of it blanked, ${seed + i}`);
  }
});

t.test('events "erased" alone give the rows of the whole history', async (t) => {
  const client = await scratchDatabase(t);
  const seed = seedOf(t);
  const random = randomOf(seed);
  const maker = makeHistory(seed, length);
  maker.eraseEverything();
  const events = maker.recorded();
  const whole = await rowsFrom(client, 'whole', cut(random, events, 50));
  t.notOk(
    whole.dispatches?.some((row) => row.includes('"erased": false')),
    'every dispatch is a tombstone',
  );
  t.notMatch(JSON.stringify(whole.dispatches), 'text of', 'no text is left');
  t.notMatch(JSON.stringify(whole.workspaces), 'Project', 'no name is left');
  // Accounts, sessions and held receipts have no event "erased".
  const alone = events.filter(({ stream }) => /^(erased|account|session|receipt)-/.test(stream));
  t.same(await rowsFrom(client, 'alone', cut(random, alone, 50)), whole);
});

t.test('events "erased" that are seen before some of what they erase', async (t) => {
  const client = await scratchDatabase(t);
  const seed = seedOf(t);
  for (let i = 0; i < histories; i++) {
    const random = randomOf(seed + i);
    const maker = makeHistory(seed + i, length);
    maker.eraseEverything();
    const events = maker.recorded();
    const whole = await rowsFrom(client, `whole${i}`, cut(random, events, 50));
    // As from partitions of their own: each event "erased" somewhere earlier, the order of every stream kept.
    const late = events.map((event, index) => ({
      event,
      place: event.stream.startsWith('erased-') ? random() * index : index,
    }));
    const mixed = late.sort((a, b) => a.place - b.place).map(({ event }) => event);
    t.same(await rowsFrom(client, `mixed${i}`, cut(random, mixed, 50)), whole, `seed ${seed + i}`);
  }
});
