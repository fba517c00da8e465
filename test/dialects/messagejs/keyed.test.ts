import t from 'tap';
import type { Product } from '../harness.ts';
import { type Answer, credentials, startHarness } from './harness.ts';

/** MessageJS sheet, section 9, and promise 4 of the design: of what the dashboard creates. */
t.test('what is created with a key is created once', async (t) => {
  const parley = await startHarness(t);
  const [{ token }, other] = [await parley.user(), await parley.user()];
  const [project, second] = [
    (await parley.created('/projects', { name: 'One' }, token)).str('id'),
    (await parley.created('/projects', { name: 'Two' }, token)).str('id'),
  ];
  const kinds = {
    projects: { path: '/projects', body: { name: 'Keyed', description: 'about' } },
    keys: { path: `/projects/${project}/keys`, body: { name: 'Keyed', rateLimit: 7 } },
    connectors: {
      path: `/projects/${project}/connectors`,
      body: { type: 'telegram', credentials: credentials.telegram },
    },
    templates: {
      path: `/projects/${project}/templates`,
      body: { name: 'Keyed', connectorType: 'telegram', content: 'Hello {{name}}', variables: ['name'] },
    },
  };
  const ask = (path: string, body: object, key: string, as = token, on: Pick<Product, 'call'> = parley) =>
    on.call('POST', path, { as, body, headers: { 'idempotency-key': key } });
  const count = async (kind: string, path: string) => (await parley.get(path, token)).at(kind) as unknown[];
  const firsts = new Map<string, Answer>();

  for (const [kind, { path, body }] of Object.entries(kinds)) {
    const before = (await count(kind, path)).length;
    const answers = await Promise.all(Array.from({ length: 8 }, () => ask(path, body, 'once')));
    const [first] = answers as [Answer];
    t.equal(first.status, 201, kind);
    for (const answer of answers) t.strictSame([answer.status, answer.body], [201, first.body]);
    t.not((await ask(path, body, 'twice')).at('id'), first.at('id'), 'another key');
    t.not((await parley.post(path, body, token)).at('id'), first.at('id'), 'no key');
    t.equal((await count(kind, path)).length, before + 3);
    for (const bad of ['', 'x'.repeat(256)]) t.match(await ask(path, body, bad), { status: 400 }, 'not a key');
    firsts.set(kind, first);
  }
  t.not((await ask('/projects', kinds.projects.body, 'once', other.token)).at('id'), firsts.get('projects')?.at('id'));
  t.not(
    (await ask(`/projects/${second}/keys`, kinds.keys.body, 'once')).at('id'),
    firsts.get('keys')?.at('id'),
    'of another project',
  );
  const issued = firsts.get('keys')?.str('key') as string;
  t.match(await parley.post('/messages', {}, issued), { status: 400 }, 'the key that was shown holds');

  const anew = await parley.restart();
  for (const [kind, { path, body }] of Object.entries(kinds)) {
    const again = await ask(path, body, 'once', token, anew);
    t.strictSame(
      [again.status, again.body],
      [201, firsts.get(kind)?.body],
      `${kind}, of a process that never heard of it`,
    );
    t.equal((await anew.del(`${path}/${again.str('id')}`, token)).status, 204);
    const gone = await ask(path, body, 'once', token, anew);
    t.equal(gone.status, 404, 'what it made is gone, and is not made again');
  }
  t.match(await anew.post('/messages', {}, issued), { status: 401 });
});
