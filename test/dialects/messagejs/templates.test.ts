import t from 'tap';
import { startHarness } from './harness.ts';

/** MessageJS sheet, section 8. */
t.test('templates', async (t) => {
  const parley = await startHarness(t);
  const { user, projectId } = await parley.ground();
  const templates = `/projects/${projectId}/templates`;
  const good = { name: 'Welcome Message', connectorType: 'whatsapp', content: 'Hello {{name}}', variables: ['name'] };
  const make = (body: unknown) => parley.post(templates, body, user.token);

  t.test('create, get, list, change', async (t) => {
    const created = await make({ ...good, name: '  Welcome Message ', content: ' Hello {{name}}\n' });
    t.equal(created.status, 201);
    t.match(created.body, { ...good, id: /^tpl_[a-z0-9]{12,}$/, isActive: true });
    t.match(created.headers.get('x-parley-position'), /^\d+$/);
    const path = `${templates}/${created.str('id')}`;
    const got = await parley.get(path, user.token);
    t.strictSame(got.body, { ...(created.body as object), updatedAt: created.at('createdAt') });
    const list = await parley.get(templates, user.token);
    t.strictSame(
      Object.keys(list.at('templates.0') as object).sort(),
      ['connectorType', 'createdAt', 'id', 'isActive', 'name'],
      'no content in the list',
    );
    const changed = await parley.put(path, { content: 'Hi {{name}}', variables: [] }, user.token);
    t.equal(changed.status, 200);
    t.strictSame(Object.keys(changed.body as object), ['id', 'content', 'variables', 'updatedAt']);
    t.match(changed.body, { content: 'Hi {{name}}', variables: [] });
    const more = await parley.put(path, { name: 'Other', isActive: false, connectorType: 'twilio' }, user.token);
    t.match(more.body, { name: 'Other', isActive: false, content: 'Hi {{name}}' });
    t.match((await parley.get(path, user.token)).body, { name: 'Other', connectorType: 'whatsapp', isActive: false });
    t.equal((await make({ name: 'abc', connectorType: 'twilio', content: 'x' })).at('variables.length'), 0);
  });

  const refused: readonly (readonly [string, object, string])[] = [
    ['no name', { name: undefined }, 'MISSING_REQUIRED_FIELD'],
    ['empty content', { content: '' }, 'MISSING_REQUIRED_FIELD'],
    ['no type', { connectorType: undefined }, 'MISSING_REQUIRED_FIELD'],
    ['an unknown type', { connectorType: 'slack' }, 'INVALID_CONNECTOR_TYPE'],
    ['an unknown type and a short name', { connectorType: 'slack', name: 'a' }, 'INVALID_CONNECTOR_TYPE'],
    ['a short name', { name: ' ab ' }, 'INVALID_INPUT'],
    ['a long name', { name: 'x'.repeat(101) }, 'INVALID_INPUT'],
    ['white content', { content: ' \n' }, 'INVALID_INPUT'],
    ['long content', { content: 'x'.repeat(4097) }, 'INVALID_INPUT'],
    ['NUL in content', { content: 'a\0b' }, 'INVALID_INPUT'],
    ['variables that are no texts', { variables: [1] }, 'INVALID_INPUT'],
    ['variables that are no list', { variables: 'name' }, 'INVALID_INPUT'],
  ];
  for (const [what, change, code] of refused) {
    t.test(`refused: ${what}`, async (t) => {
      const answer = await make({ ...good, ...change });
      t.equal(answer.status, 400);
      t.equal(answer.at('code'), code);
    });
  }

  t.test('names and content at their limits', async (t) => {
    t.equal((await make({ ...good, name: 'abc', content: 'x'.repeat(4096) })).status, 201);
    t.equal((await make({ ...good, name: 'x'.repeat(100) })).status, 201);
  });

  t.test('ids that are none, and those of other projects', async (t) => {
    const other = await parley.ground({ user });
    for (const id of [other.templateId, other.connectorId, 'tpl_x', '%00', `tpl_${'0'.repeat(24)}`]) {
      for (const method of ['GET', 'PUT', 'DELETE'] as const) {
        const answer = await parley.call(method, `${templates}/${id}`, { as: user.token });
        t.equal(answer.status, 404, `${method} ${id}`);
        t.equal(answer.at('code'), 'TEMPLATE_NOT_FOUND');
      }
    }
  });

  t.test('deletion and deactivation: no more sends, old messages stay', async (t) => {
    const { user, projectId, key, connectorId, templateId } = await parley.ground({ content: 'Code {{code}}' });
    const path = `/projects/${projectId}/templates/${templateId}`;
    const send = { to: '+1234567890', connectorId, templateId, variables: { code: 7 } };
    const sent = await parley.post('/messages', send, key);
    t.equal(sent.status, 202);
    await parley.put(path, { content: 'changed' }, user.token);
    await parley.put(path, { isActive: false }, user.token);
    t.equal((await parley.post('/messages', send, key)).at('code'), 'TEMPLATE_NOT_FOUND');
    await parley.put(path, { isActive: true }, user.token);
    const later = await parley.post('/messages', send, key);
    t.equal(later.status, 202);
    const deleted = await parley.del(path, user.token);
    t.equal(deleted.status, 204);
    t.equal(deleted.text, '');
    t.equal((await parley.post('/messages', send, key)).at('code'), 'TEMPLATE_NOT_FOUND');
    t.equal((await parley.get(path, user.token)).status, 404);
    t.equal(
      (await parley.get(`/messages/${sent.str('messageId')}`, user.token)).at('text'),
      'Code 7',
      'as it was then',
    );
    t.equal((await parley.get(`/messages/${later.str('messageId')}`, user.token)).at('text'), 'changed');
  });
});
