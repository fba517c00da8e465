/**
 * Generated requests against the whole product: no 5xx, and no answer outside the document. `PARLEY_TEST_SEED` repeats a
 * run, `PARLEY_TEST_FUZZ` sets the requests per operation.
 */
import fc from 'fast-check';
import t from 'tap';
import { type Ground, Judge, requestsFor, send } from '../fuzz.ts';
import { startHarness } from './harness.ts';

const seed = Number(process.env.PARLEY_TEST_SEED ?? Date.now() % 2 ** 31);
const numRuns = Number(process.env.PARLEY_TEST_FUZZ ?? 40);

t.test('Company answers as its document says', async (t) => {
  const { url, document, user, conversation } = await startHarness(t);
  t.comment(`seed ${seed}`);
  const [ann, bob] = [await user('Ann'), await user('Bob')];
  const conv = String(await conversation(ann, bob));
  const bearer = ({ token }: { token: string }) => ({ authorization: `Bearer ${token}` });
  const ground: Ground = {
    base: url,
    credentials: { token: [bearer(ann), bearer(ann), bearer(bob)] },
    known: {
      id: [String(ann.id), String(bob.id)],
      recipient: [String(bob.id)],
      conv: [conv],
      conv_id: [conv],
      email: [ann.email],
      password: [ann.password],
      token: [ann.token],
    },
  };
  const judge = new Judge(document, []);
  const operations = Object.entries(document.paths)
    .flatMap(([path, item]) => Object.keys(item).map((method) => ({ path, method })))
    // Whoever has logged out is nobody: that comes last.
    .sort((a, b) => Number(a.path.endsWith('/logout')) - Number(b.path.endsWith('/logout')));
  for (const { path, method } of operations) {
    const statuses = new Map<number, number>();
    for (const request of fc.sample(requestsFor(document, path, method, ground), { numRuns, seed })) {
      const { status, contentType, body } = await send(url, request);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      const problem = judge.judge(request, status, contentType, body);
      if (problem !== null) t.fail(`${method} ${path}: ${problem}`, { request, status, body: body.slice(0, 300) });
    }
    t.ok(statuses.size > 0, `${method} ${path}: ${JSON.stringify([...statuses])}`);
  }
});
