import { randomUUID } from 'node:crypto';
import t from 'tap';
import { credentials, startHarness } from './harness.ts';

/** MessageJS sheet, sections 9, 11 and 12. */
t.test('send', async (t) => {
  const parley = await startHarness(t);
  const ground = await parley.ground();
  const { user, projectId, key, connectorId, templateId } = ground;
  const good = { to: '+1234567890', connectorId, templateId, variables: { name: 'John' } };
  const send = (body: unknown, headers: Record<string, string> = {}, as: string | undefined = key) =>
    parley.call('POST', '/messages', { as, body, headers });
  const shown = async (id: string) => parley.get(`/messages/${id}`, user.token);

  t.test('is queued', async (t) => {
    const answer = await send({ ...good, extra: 1 });
    t.equal(answer.status, 202);
    t.strictSame(Object.keys(answer.body as object), ['messageId', 'status']);
    t.match(answer.body, { messageId: /^msg_[a-z0-9]{12,}$/, status: 'queued' });
    t.match(answer.headers.get('x-parley-position'), /^\d+$/);
    t.match(answer.headers.get('content-type'), 'application/json');
    const message = await parley.status(answer.str('messageId'), 'delivered', user.token);
    t.match(message.body, {
      projectId,
      connectorId,
      to: good.to,
      text: 'Hello John!',
      metadata: { messageId: /^wamid/ },
    });
    t.match(message.at('sentAt'), /Z$/);
    t.match(message.at('deliveredAt'), /Z$/);
  });

  const refused: readonly (readonly [string, unknown, string])[] = [
    ['no body', undefined, 'MISSING_REQUIRED_FIELD'],
    ['an empty one', {}, 'MISSING_REQUIRED_FIELD'],
    ['no recipient', { ...good, to: undefined }, 'MISSING_REQUIRED_FIELD'],
    ['an empty connector', { ...good, connectorId: '' }, 'MISSING_REQUIRED_FIELD'],
    ['null for a template', { ...good, templateId: null }, 'MISSING_REQUIRED_FIELD'],
    ['what is missing before what is wrong', { ...good, to: 5, templateId: undefined }, 'MISSING_REQUIRED_FIELD'],
    ['a number for a recipient', { ...good, to: 1234567890 }, 'INVALID_INPUT'],
    ['an object for a connector', { ...good, connectorId: {} }, 'INVALID_INPUT'],
    ['a list of variables', { ...good, variables: ['a'] }, 'INVALID_INPUT'],
    ['a text for variables', { ...good, variables: 'a' }, 'INVALID_INPUT'],
    ['null for variables', { ...good, variables: null }, 'INVALID_INPUT'],
    ['a list', [good], 'INVALID_INPUT'],
    ['a text', '"hello"', 'INVALID_INPUT'],
    ['no JSON', '{"to":', 'INVALID_INPUT'],
    [
      'deep variables',
      `{"to":"1","connectorId":"c","templateId":"t","variables":{"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}}`,
      'INVALID_INPUT',
    ],
    ['letters', { ...good, to: 'abc' }, 'INVALID_TO'],
    ['a zero at the beginning', { ...good, to: '+0123456789' }, 'INVALID_TO'],
    ['a single digit', { ...good, to: '1' }, 'INVALID_TO'],
    ['sixteen digits', { ...good, to: '1234567890123456' }, 'INVALID_TO'],
    ['NUL in a recipient', { ...good, to: '+1234567890\0' }, 'INVALID_TO'],
  ];
  for (const [what, body, code] of refused) {
    t.test(`refused: ${what}`, async (t) => {
      const before = await parley.events('DispatchAccepted');
      const answer = await send(body);
      t.equal(answer.status, 400);
      t.equal(answer.at('code'), code);
      t.equal(await parley.events('DispatchAccepted'), before);
    });
  }

  t.test('the text of the seed for a wrong recipient', async (t) => {
    t.strictSame((await send({ ...good, to: 'x' })).body, { error: 'Invalid phone number', code: 'INVALID_TO' });
  });

  t.test('credentials', async (t) => {
    const [lookup = '', secret = ''] = key.slice('pk_live_'.length).split('_sk_');
    const cases: readonly (readonly [Record<string, string>, string])[] = [
      [{}, 'MISSING_API_KEY'],
      [{ authorization: 'Basic abc' }, 'MISSING_API_KEY'],
      [{ authorization: 'Bearer' }, 'MISSING_API_KEY'],
      [{ authorization: 'Bearer x' }, 'INVALID_API_KEY'],
      [{ authorization: `Bearer ${user.token}` }, 'INVALID_API_KEY'],
      [{ authorization: `Bearer pk_live_${lookup}_sk_${'0'.repeat(64)}` }, 'INVALID_API_KEY'],
      [{ authorization: `Bearer pk_live_${'0'.repeat(32)}_sk_${secret}` }, 'INVALID_API_KEY'],
      [{ authorization: `Bearer ${key}0` }, 'INVALID_API_KEY'],
      [{ cookie: `authToken=${user.token}` }, 'MISSING_API_KEY'],
    ];
    for (const [headers, code] of cases) {
      const answer = await parley.call('POST', '/messages', { headers, body: '{ malformed' });
      t.equal(answer.status, 401, code);
      t.equal(answer.at('code'), code);
    }
    t.equal((await send(good, {}, key.replace('pk_live_', 'pk_test_'))).status, 202, 'pk_test_ equally');
    const lower = await parley.call('POST', '/messages', { headers: { authorization: `bearer ${key}` }, body: good });
    t.equal(lower.status, 202);
    const dashboard = await parley.get('/projects', key);
    t.equal(dashboard.at('code'), 'INVALID_TOKEN', 'a key is no token');
  });

  t.test('keys beyond ASCII: what differs is different, however it is spelled', async (t) => {
    const ask = async (idempotencyKey: string) =>
      (await send(good, { 'idempotency-key': idempotencyKey })).str('messageId');
    // `fetch` sends a character a byte: as Latin-1, or here the bytes of UTF-8.
    const [one, other, again] = [
      await ask('inv-M\xfcller'),
      await ask('inv-M\xf6ller'),
      await ask('inv-M\xc3\xbcller'),
    ];
    t.not(one, other);
    t.equal(one, again, 'the same text in UTF-8');
    const body = [{ ...good, idempotencyKey: 'inv-Möller' }];
    const batch = await parley.call('POST', '/messages/batch', { as: key, body });
    t.equal(batch.at('0.messageId'), other, 'the same text in JSON');
  });

  t.test('numbers of which digits were lost', async (t) => {
    const bodies = ['{"name":12345678901234567890}', '{"name":1e400}', '{"name":["x",{"y":-1e17}]}'];
    for (const variables of bodies) {
      const body = JSON.stringify({ ...good, variables: {} }).replace('"variables":{}', `"variables":${variables}`);
      const answer = await parley.call('POST', '/messages', { as: key, body });
      t.match([answer.status, answer.body], [400, { code: 'INVALID_INPUT' }], variables);
    }
    t.equal((await send({ ...good, variables: { name: -9007199254740991, x: 10.5 } })).status, 202);
  });

  t.test('the order of what is checked', async (t) => {
    const other = await parley.ground({ user });
    const projects = `/projects/${projectId}`;
    const off = await parley.post(
      `${projects}/connectors`,
      { type: 'whatsapp', credentials: credentials.whatsapp },
      user.token,
    );
    await parley.put(`${projects}/connectors/${off.str('id')}`, { isActive: false }, user.token);
    const cases: readonly (readonly [object, number, string])[] = [
      [{ connectorId: 'conn_x', templateId: 'x', to: 'x' }, 404, 'CONNECTOR_NOT_FOUND'],
      [{ connectorId: other.connectorId }, 404, 'CONNECTOR_NOT_FOUND'],
      [{ connectorId: templateId }, 404, 'CONNECTOR_NOT_FOUND'],
      [{ connectorId: off.str('id'), templateId: 'x', to: 'x' }, 400, 'CONNECTOR_NOT_ACTIVE'],
      [{ templateId: 'tpl_x', to: 'x' }, 404, 'TEMPLATE_NOT_FOUND'],
      [{ templateId: other.templateId, to: 'x' }, 404, 'TEMPLATE_NOT_FOUND'],
      [{ templateId: 'a\0b' }, 404, 'TEMPLATE_NOT_FOUND'],
      [{ to: 'x' }, 400, 'INVALID_TO'],
    ];
    for (const [change, status, code] of cases) {
      const answer = await send({ ...good, ...change });
      t.equal(answer.status, status, code);
      t.equal(answer.at('code'), code);
    }
  });

  t.test('recipients by type of connector', async (t) => {
    const good = {
      telegram: ['12345', '-100123456', '@channel_name'],
      twilio: ['+15005550009', '15005550009', '12'],
    } as const;
    const bad = {
      telegram: ['+12345', '@', 'name', '--1', '1 2'],
      twilio: ['@name', '0123', '+1 500 555', ''],
    } as const;
    for (const type of ['telegram', 'twilio'] as const) {
      const { key, connectorId, templateId } = await parley.ground({ type });
      for (const to of good[type])
        t.equal((await send({ to, connectorId, templateId }, {}, key)).status, 202, `${type} ${to}`);
      for (const to of bad[type]) {
        const code = to === '' ? 'MISSING_REQUIRED_FIELD' : 'INVALID_TO';
        t.equal((await send({ to, connectorId, templateId }, {}, key)).at('code'), code, `${type} ${to}`);
      }
      // The types of connector and template are not compared.
    }
  });

  t.test('rendering', async (t) => {
    const content = '{{a}} {{a}} {{ a }} {{b}} {{A}} {{n}}{{t}}{{z}}{{l}} {{o}} {{$&}} {{missing}} {{toString}}';
    const { user, key, connectorId, templateId } = await parley.ground({ content });
    const variables = {
      a: '{{b}}',
      b: '$& $1',
      n: 1.5,
      t: true,
      z: null,
      l: [1, 'x'],
      o: { k: 'v' },
      '$&': 'ok',
      more: 1,
    };
    const sent = await send({ to: '+1234567890', connectorId, templateId, variables }, {}, key);
    const message = await parley.get(`/messages/${sent.str('messageId')}`, user.token);
    t.equal(
      message.at('text'),
      '{{b}} {{b}} {{ a }} $& $1 {{A}} 1.5truenull[1,"x"] {"k":"v"} ok {{missing}} {{toString}}',
    );
    const none = await send({ to: '+1234567890', connectorId, templateId }, {}, key);
    t.equal(none.status, 202, 'variables may be left out');
    t.equal((await parley.get(`/messages/${none.str('messageId')}`, user.token)).at('text'), content);
    const odd = await send({ to: '+1234567890', connectorId, templateId, variables: { a: 'x\0\ud800y' } }, {}, key);
    t.equal(odd.status, 202, 'what a table cannot hold is no error');
    t.match((await parley.get(`/messages/${odd.str('messageId')}`, user.token)).at('text'), /^x..?y/u);
  });

  t.test('a text that multiplies is refused before it fills the memory', async (t) => {
    const { key, connectorId, templateId } = await parley.ground({ content: '{{a}}'.repeat(800) });
    const variables = { a: 'x'.repeat(100_000) };
    const answer = await send({ to: '+1234567890', connectorId, templateId, variables }, {}, key);
    t.equal(answer.status, 400);
    t.equal(answer.at('code'), 'INVALID_INPUT');
  });

  t.test('the same idempotency key again', async (t) => {
    const headers = { 'idempotency-key': randomUUID() };
    const first = await send(good, headers);
    t.equal(first.status, 202);
    const before = await parley.events('DispatchAccepted');
    await parley.status(first.str('messageId'), 'delivered', user.token);
    const again = await send(good, headers);
    t.equal(again.status, 202);
    t.strictSame(again.body, first.body, 'queued, though it is delivered by now');
    const other = await send({ ...good, to: '+1987654321', variables: { name: 'Jane' } }, headers);
    t.strictSame(other.body, first.body, 'a new body is ignored');
    const wrong = await send({ ...good, connectorId: 'conn_x' }, headers);
    t.strictSame(wrong.body, first.body, 'even one that would be refused');
    t.equal((await send({}, headers)).at('code'), 'MISSING_REQUIRED_FIELD', 'the shape is checked before');
    const elsewhere = await parley.ground({ user });
    const { connectorId, templateId } = elsewhere;
    const independent = await send({ ...good, connectorId, templateId }, headers, elsewhere.key);
    t.not(independent.at('messageId'), first.at('messageId'), 'another project');
    t.equal(await parley.events('DispatchAccepted'), before + 1, 'nothing was sent twice');
    t.equal((await shown(first.str('messageId'))).at('to'), good.to);
  });

  t.test('a key of another API key of the project is the same key', async (t) => {
    const second = await parley.post(`/projects/${projectId}/keys`, {}, user.token);
    const headers = { 'idempotency-key': 'shared' };
    const first = await send(good, headers);
    t.strictSame((await send(good, headers, second.str('key'))).body, first.body);
  });

  t.test('a first attempt that was refused leaves nothing', async (t) => {
    const headers = { 'idempotency-key': randomUUID() };
    t.equal((await send({ ...good, to: 'x' }, headers)).status, 400);
    t.equal((await send(good, headers)).status, 202);
  });

  t.test('at the same time', async (t) => {
    const before = await parley.events('DispatchAccepted');
    const headers = { 'idempotency-key': randomUUID() };
    const answers = await Promise.all(Array.from({ length: 20 }, () => send(good, headers)));
    t.strictSame([...new Set(answers.map(({ status }) => status))], [202]);
    t.equal(new Set(answers.map((answer) => answer.at('messageId'))).size, 1);
    t.equal(await parley.events('DispatchAccepted'), before + 1, 'exactly one');
  });

  t.test('forms of idempotency keys', async (t) => {
    for (const value of ['x', 'y'.repeat(255), 'a key, with "anything"'])
      t.equal((await send(good, { 'idempotency-key': value })).status, 202);
    for (const value of ['', 'y'.repeat(256)]) {
      const answer = await send(good, { 'idempotency-key': value });
      t.equal(answer.status, 400);
      t.equal(answer.at('code'), 'INVALID_INPUT');
    }
  });

  t.test('what the provider refuses fails, with its text', async (t) => {
    const sent = await send({ ...good, to: '+1234560001' });
    const message = await parley.status(sent.str('messageId'), 'failed', user.token);
    t.match(message.at('error'), /\w/);
    t.strictSame(message.at('metadata'), {});
    t.equal(message.at('deliveredAt'), null);
  });

  t.test('a body beyond the limit, and of a type that is none', async (t) => {
    const large = await send({ ...good, variables: { a: 'x'.repeat(300_000) } });
    t.equal(large.status, 413);
    t.equal(large.at('code'), 'INVALID_INPUT');
    const form = await parley.call('POST', '/messages', {
      as: key,
      body: 'to=1',
      contentType: 'application/x-www-form-urlencoded',
    });
    t.equal(form.status, 415);
    t.equal(form.at('code'), 'INVALID_INPUT');
  });
});
