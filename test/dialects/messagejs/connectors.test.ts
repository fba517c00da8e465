import t from 'tap';
import { credentials, startHarness } from './harness.ts';

/** MessageJS sheet, section 7. */
t.test('connectors', async (t) => {
  const parley = await startHarness(t);
  const { user, projectId } = await parley.ground();
  const connectors = `/projects/${projectId}/connectors`;
  const make = (body: unknown) => parley.post(connectors, body, user.token);

  t.test('create, get, list, change; credentials are never shown', async (t) => {
    const created = await make({ type: 'twilio', name: 'SMS', credentials: { ...credentials.twilio, extra: 'x' } });
    t.equal(created.status, 201);
    t.match(created.body, { id: /^conn_/, projectId, type: 'twilio', name: 'SMS', isActive: true });
    t.strictSame(Object.keys(created.body as object).sort(), [
      'createdAt',
      'id',
      'isActive',
      'name',
      'projectId',
      'type',
    ]);
    const path = `${connectors}/${created.str('id')}`;
    const got = await parley.get(path, user.token);
    t.strictSame(Object.keys(got.body as object).sort(), ['createdAt', 'id', 'isActive', 'name', 'type', 'updatedAt']);
    const list = await parley.get(connectors, user.token);
    t.equal(list.at('connectors.0.id'), created.at('id'), 'newest first');
    t.strictSame(Object.keys(list.at('connectors.0') as object).sort(), [
      'createdAt',
      'id',
      'isActive',
      'name',
      'type',
    ]);
    const changed = await parley.put(path, { name: 'Renamed', isActive: false, type: 'telegram' }, user.token);
    t.equal(changed.status, 200);
    t.match(changed.body, { id: created.at('id'), name: 'Renamed', isActive: false, updatedAt: /Z$/ });
    t.strictSame(Object.keys(changed.body as object), ['id', 'name', 'isActive', 'updatedAt']);
    t.match((await parley.get(path, user.token)).body, { type: 'twilio', name: 'Renamed', isActive: false });
    for (const answer of [created, got, list, changed]) t.notOk(answer.text.includes(credentials.twilio.authToken));
    const stored = await parley.history();
    t.notOk(
      stored.some(({ data }) => JSON.stringify(data).includes(credentials.twilio.authToken)),
      'nor are they in the log',
    );
  });

  t.test('names by default', async (t) => {
    for (const [type, name] of [
      ['whatsapp', 'WhatsApp'],
      ['telegram', 'Telegram'],
      ['twilio', 'Twilio SMS'],
    ] as const) {
      t.equal((await make({ type, credentials: credentials[type] })).at('name'), name);
    }
  });

  const refused: readonly (readonly [string, unknown, string])[] = [
    ['a type is told first', { type: 'smtp' }, 'INVALID_CONNECTOR_TYPE'],
    ['no type', { credentials: credentials.telegram }, 'INVALID_CONNECTOR_TYPE'],
    ['a type in capitals', { type: 'WHATSAPP', credentials: credentials.whatsapp }, 'INVALID_CONNECTOR_TYPE'],
    ['a number for a type', { type: 1, credentials: {} }, 'INVALID_CONNECTOR_TYPE'],
    ['no credentials', { type: 'telegram' }, 'MISSING_REQUIRED_FIELD'],
    ['empty credentials', { type: 'telegram', credentials: {} }, 'MISSING_REQUIRED_FIELD'],
    ['a text for credentials', { type: 'telegram', credentials: 'x' }, 'MISSING_REQUIRED_FIELD'],
    ['an empty key', { type: 'telegram', credentials: { botToken: '' } }, 'INVALID_CREDENTIALS'],
    ['a number for a key', { type: 'telegram', credentials: { botToken: 5 } }, 'INVALID_CREDENTIALS'],
    ['keys before the number', { type: 'twilio', credentials: { fromNumber: 'x' } }, 'INVALID_CREDENTIALS'],
    ['a number', { type: 'twilio', credentials: { ...credentials.twilio, fromNumber: '15005' } }, 'INVALID_PHONE'],
    ['an empty name', { type: 'telegram', name: '', credentials: credentials.telegram }, 'INVALID_INPUT'],
  ];
  for (const [what, body, code] of refused) {
    t.test(`refused: ${what}`, async (t) => {
      const answer = await make(body);
      t.equal(answer.status, 400);
      t.equal(answer.at('code'), code);
    });
  }

  t.test('missing credentials are listed', async (t) => {
    const answer = await make({ type: 'twilio', credentials: { accountSid: 'AC1', authToken: ' ' } });
    t.strictSame(answer.at('details.missing'), ['authToken', 'fromNumber']);
  });

  t.test('new credentials replace the whole set, after the same checks', async (t) => {
    const created = await make({ type: 'whatsapp', credentials: credentials.whatsapp });
    const path = `${connectors}/${created.str('id')}`;
    const some = await parley.put(path, { credentials: { accessToken: 'x' } }, user.token);
    t.equal(some.status, 400);
    t.equal(some.at('code'), 'INVALID_CREDENTIALS');
    t.strictSame(some.at('details.missing'), ['phoneNumberId']);
    const none = await parley.put(path, { credentials: {} }, user.token);
    t.equal(none.at('code'), 'MISSING_REQUIRED_FIELD');
    t.equal((await parley.put(path, { isActive: 'no' }, user.token)).at('code'), 'INVALID_INPUT');
    const whole = { phoneNumberId: '1', accessToken: 'EAAG-other' };
    t.equal((await parley.put(path, { credentials: whole }, user.token)).status, 200);
    t.equal((await parley.post(`${path}/test`, undefined, user.token)).at('connected'), true);
  });

  t.test('test asks the provider', async (t) => {
    const texts = {
      whatsapp: /^Connected to WhatsApp Cloud API$/,
      telegram: /^Connected as @\w+$/,
      twilio: /^Connected to Twilio$/,
    } as const;
    for (const type of ['whatsapp', 'telegram', 'twilio'] as const) {
      const created = await make({ type, credentials: credentials[type] });
      const path = `${connectors}/${created.str('id')}/test`;
      const answer = await parley.post(path, undefined, user.token);
      t.equal(answer.status, 200, type);
      t.match(answer.body, { success: true, connected: true, message: texts[type] });
      await parley.behave({ provider: type, down: true });
      const down = await parley.post(path, undefined, user.token);
      t.equal(down.status, 502, type);
      t.equal(down.at('code'), 'THIRD_PARTY_ERROR');
      await parley.behave({ provider: type, down: false });
    }
  });

  t.test('the provider rejects the credentials', async (t) => {
    const created = await make({ type: 'telegram', credentials: { botToken: '123456:invalid' } });
    const answer = await parley.post(`${connectors}/${created.str('id')}/test`, undefined, user.token);
    t.equal(answer.status, 200);
    t.match(answer.body, { success: false, connected: false, message: /\w/ });
  });

  t.test('deleting one keeps its messages', async (t) => {
    const ground = await parley.ground();
    const send = { to: '+1234567890', connectorId: ground.connectorId, templateId: ground.templateId };
    const sent = await parley.post('/messages', send, ground.key);
    await parley.status(sent.str('messageId'), 'delivered', ground.user.token);
    const path = `/projects/${ground.projectId}/connectors/${ground.connectorId}`;
    t.equal((await parley.del(path, ground.user.token)).status, 204);
    const later = await parley.post('/messages', send, ground.key);
    t.equal(later.status, 404);
    t.equal(later.at('code'), 'CONNECTOR_NOT_FOUND');
    const message = await parley.get(`/messages/${sent.str('messageId')}`, ground.user.token);
    t.match(message.body, { status: 'delivered', connectorId: ground.connectorId });
    t.strictSame((await parley.get(`/projects/${ground.projectId}/connectors`, ground.user.token)).body, {
      connectors: [],
    });
    for (const [method, rest] of [
      ['GET', ''],
      ['PUT', ''],
      ['DELETE', ''],
      ['POST', '/test'],
    ] as const) {
      const answer = await parley.call(method, path + rest, { as: ground.user.token });
      t.equal(answer.status, 404, method);
      t.equal(answer.at('code'), 'CONNECTOR_NOT_FOUND');
    }
  });

  t.test('ids that are none, and those of other projects', async (t) => {
    const other = await parley.ground({ user });
    for (const id of [other.connectorId, other.templateId, 'conn_x', 'x', '%00', `conn_${'0'.repeat(24)}`]) {
      for (const [method, rest] of [
        ['GET', ''],
        ['PUT', ''],
        ['DELETE', ''],
        ['POST', '/test'],
      ] as const) {
        const answer = await parley.call(method, `${connectors}/${id}${rest}`, { as: user.token });
        t.equal(answer.status, 404, `${method} ${id}`);
        t.equal(answer.at('code'), 'CONNECTOR_NOT_FOUND');
      }
    }
  });
});
