import t from 'tap';
import { startHarness } from './harness.ts';

/** MessageJS sheet, section 10. */
t.test('history', async (t) => {
  const parley = await startHarness(t, { DISPATCH_RETRY_SCHEDULE: '0,600,900' });
  const { user, projectId, key, connectorId, templateId } = await parley.ground();
  const telegram = await parley.ground({ type: 'telegram' });
  const send = (to: string, name = 'x') =>
    parley.post('/messages', { to, connectorId, templateId, variables: { name } }, key);
  const list = (query: string) => parley.get(`/messages?projectId=${projectId}${query}`, user.token);
  const ids = (answer: { at(path: string): unknown }) =>
    (answer.at('messages') as { id: string }[]).map((message) => message.id);

  const sent: string[] = [];
  for (const to of ['+1234567890', '+1234567891', '+1234560001', '+1234560008'])
    sent.push((await send(to)).str('messageId'));
  const [first = '', second = '', failed = '', silent = ''] = sent;
  await parley.status(first, 'delivered', user.token);
  await parley.status(second, 'delivered', user.token);
  await parley.status(failed, 'failed', user.token);
  await parley.status(silent, 'sent', user.token);

  t.test('newest first, in the shape of the seed', async (t) => {
    const answer = await list('');
    t.equal(answer.status, 200);
    t.strictSame(ids(answer), [...sent].reverse());
    t.strictSame(answer.at('pagination'), { limit: 50, offset: 0, total: 4, hasMore: false });
    t.strictSame(Object.keys(answer.at('messages.0') as object).sort(), [
      'connectorType',
      'createdAt',
      'id',
      'sentAt',
      'status',
      'text',
      'to',
    ]);
    t.match(answer.at('messages.3'), {
      to: '+1234567890',
      text: 'Hello x!',
      status: 'delivered',
      connectorType: 'whatsapp',
    });
  });

  t.test('pages', async (t) => {
    const answer = await list('&limit=2&offset=1');
    t.strictSame(ids(answer), [failed, second]);
    t.strictSame(answer.at('pagination'), { limit: 2, offset: 1, total: 4, hasMore: true });
    t.strictSame((await list('&limit=5000')).at('pagination.limit'), 100);
    t.strictSame((await list('&offset=99')).at('pagination'), { limit: 50, offset: 99, total: 4, hasMore: false });
  });

  t.test('filters', async (t) => {
    t.strictSame(ids(await list('&status=delivered')), [second, first]);
    t.strictSame(ids(await list('&status=failed')), [failed]);
    t.strictSame(ids(await list('&status=sent')), [silent]);
    t.strictSame((await list('&status=delivered&limit=1')).at('pagination.total'), 2, 'counted after filtering');
    t.strictSame(ids(await list('&connector=whatsapp')).length, 4);
    t.strictSame(ids(await list('&connector=telegram')), []);
    const at = (await parley.get(`/messages/${second}`, user.token)).str('createdAt');
    t.ok(ids(await list(`&from=${at}`)).includes(second), 'both ends are included');
    t.ok(ids(await list(`&to=${at}`)).includes(second));
    t.notOk(ids(await list(`&to=${new Date(Date.parse(at) - 1).toISOString()}`)).includes(second));
    const today = at.slice(0, 10);
    t.equal(ids(await list(`&from=${today}&to=${today}`)).length, 4, 'a bare date is the whole day');
    t.equal(ids(await list(`&from=2020-01-01T00:00:00%2B02:00&to=2020-12-31`)).length, 0);
    t.equal(ids(await list(`&from=2020-01-01T00:00:00+02:00`)).length, 4, 'a plus that was not escaped');
  });

  t.test('queued is pending', async (t) => {
    await parley.behave({ provider: 'whatsapp', down: true });
    const waiting = (await send('+1234567890')).str('messageId');
    t.strictSame(ids(await list('&status=queued')), [waiting]);
    t.strictSame(ids(await list('&status=pending')), [waiting]);
    const message = await parley.get(`/messages/${waiting}`, user.token);
    t.match(message.body, { status: 'pending', sentAt: null, deliveredAt: null });
    t.strictSame(message.at('metadata'), {});
    t.equal(message.at('error'), undefined);
    await parley.behave({ provider: 'whatsapp', down: false });
  });

  t.test('refused', async (t) => {
    const token = user.token;
    const cases: readonly (readonly [string, number, string])[] = [
      ['/messages', 400, 'MISSING_REQUIRED_FIELD'],
      ['/messages?projectId=', 400, 'MISSING_REQUIRED_FIELD'],
      ['/messages?limit=0', 400, 'MISSING_REQUIRED_FIELD'],
      ['/messages?projectId=proj_x&limit=0', 404, 'PROJECT_NOT_FOUND'],
      ['/messages?projectId=a%00b', 404, 'PROJECT_NOT_FOUND'],
      [`/messages?projectId=${telegram.projectId}`, 403, 'ACCESS_DENIED'],
      [`/messages?projectId=${projectId}&projectId=x`, 400, 'INVALID_INPUT'],
    ];
    for (const [path, status, code] of cases) {
      const answer = await parley.get(path, token);
      t.equal(answer.status, status, path);
      t.equal(answer.at('code'), code, path);
    }
    for (const query of [
      'limit=0',
      'limit=abc',
      'offset=-1',
      'status=read',
      'status=',
      'status=__proto__',
      'from=yesterday',
      'from=2024-02-30',
      'to=2024-13-01',
      'to=2024-01-01T25:00:00Z',
      'from=',
      'from=999999-01-01',
    ]) {
      const answer = await list(`&${query}`);
      t.equal(answer.status, 400, query);
      t.equal(answer.at('code'), 'INVALID_INPUT', query);
    }
    t.equal((await list('&connector=smtp')).at('code'), 'INVALID_CONNECTOR_TYPE');
    t.equal((await parley.get('/messages?projectId=x')).at('code'), 'INVALID_TOKEN');
  });

  t.test('one message', async (t) => {
    const answer = await parley.get(`/messages/${failed}`, user.token);
    t.equal(answer.status, 200);
    t.match(answer.body, { id: failed, projectId, connectorId, to: '+1234560001', status: 'failed', error: /\w/ });
    const good = await parley.get(`/messages/${first}`, user.token);
    t.equal(good.at('error'), undefined);
    t.match(good.at('metadata.messageId'), /^wamid/);
    const foreign = await parley.get(`/messages/${first}`, telegram.user.token);
    t.equal(foreign.status, 403);
    t.equal(foreign.at('code'), 'ACCESS_DENIED');
    for (const id of ['x', 'msg_x', `msg_${'0'.repeat(24)}`, `msg_${'z'.repeat(24)}`, '%00', 'batch']) {
      const none = await parley.get(`/messages/${id}`, user.token);
      t.equal(none.status, 404, id);
      t.equal(none.at('code'), 'MESSAGE_NOT_FOUND', id);
    }
  });

  t.test('Telegram says no more than that it took it: delivered at once', async (t) => {
    const { user, key, connectorId, templateId } = telegram;
    const answer = await parley.post('/messages', { to: '12345', connectorId, templateId }, key);
    const message = await parley.status(answer.str('messageId'), 'delivered', user.token);
    t.equal(message.at('deliveredAt'), message.at('sentAt'));
  });
});
