import t from 'tap';
import { startHarness } from './harness.ts';

/** MessageJS sheet, section 16. */
t.test('analytics', async (t) => {
  const parley = await startHarness(t, { DISPATCH_RETRY_SCHEDULE: '0,600,900' });
  const { user, projectId, key, connectorId, templateId } = await parley.ground();
  const { token } = user;
  const second = await parley.ground({ user, type: 'telegram' });
  const stranger = await parley.ground();

  const empty = await parley.get(`/analytics/messages?projectId=${projectId}`, token);
  t.match(empty.body, { totals: { sent: 0, delivered: 0, failed: 0, deliveredRate: 0 } });
  t.strictSame([empty.at('byConnector'), empty.at('byDay')], [{}, []]);

  const send = async (to: string, status: string) => {
    const sent = await parley.post('/messages', { to, connectorId, templateId }, key);
    await parley.status(sent.str('messageId'), status, token);
  };
  await send('+1234567890', 'delivered');
  await send('+1234567891', 'delivered');
  await send('+1234560008', 'sent');
  await send('+1234560001', 'failed');
  const other = { to: '12345', connectorId: second.connectorId, templateId: second.templateId };
  const telegram = await parley.post('/messages', other, second.key);
  await parley.status(telegram.str('messageId'), 'delivered', token);
  // One that stays pending: counted nowhere.
  await parley.behave({ provider: 'whatsapp', down: true });
  const pending = await parley.post('/messages', { to: '+1234567890', connectorId, templateId }, key);
  t.equal(pending.status, 202);

  const sums = { sent: 4, delivered: 2, failed: 1 };

  t.test('messages', async (t) => {
    const answer = await parley.get(`/analytics/messages?projectId=${projectId}`, token);
    const today = new Date().toISOString().slice(0, 10);
    t.strictSame(answer.at('totals'), { ...sums, deliveredRate: 0.5 });
    t.strictSame(answer.at('byConnector'), { whatsapp: sums });
    t.strictSame(answer.at('byDay'), [{ date: today, ...sums }]);
    const from = new Date(Date.parse(today) - 29 * 86_400_000).toISOString().slice(0, 10);
    t.strictSame(answer.at('period'), { from: `${from}T00:00:00Z`, to: `${today}T23:59:59Z` }, 'the last 30 days');
  });

  t.test('periods', async (t) => {
    const asked = await parley.get(`/analytics/messages?projectId=${projectId}&from=2024-01-01&to=2024-01-31`, token);
    t.strictSame(asked.at('period'), { from: '2024-01-01T00:00:00Z', to: '2024-01-31T23:59:59Z' });
    t.equal(asked.at('totals.sent'), 0);
    const open = await parley.get(`/analytics/messages?projectId=${projectId}&from=2024-01-01`, token);
    t.equal(open.at('totals.sent'), 4);
    const start = await parley.get(`/analytics/messages?projectId=${projectId}&to=2024-01-31`, token);
    t.equal(start.at('period.from'), '2024-01-02T00:00:00Z');
    const wrong = await parley.get(`/analytics/messages?projectId=${projectId}&from=x`, token);
    t.equal(wrong.at('code'), 'INVALID_INPUT');
  });

  t.test('usage of a project', async (t) => {
    const answer = await parley.get(`/analytics/usage?projectId=${projectId}`, token);
    t.strictSame(answer.body, {
      totalMessages: 4,
      totalProjects: 2,
      totalConnectors: 2,
      averageDeliveryRate: 0.5,
      topConnectors: [{ type: 'whatsapp', messages: 4 }],
    });
  });

  t.test('usage of all', async (t) => {
    const answer = await parley.get('/analytics/usage', token);
    t.match(answer.body, { totalMessages: 5, averageDeliveryRate: 0.6 });
    t.strictSame(answer.at('topConnectors'), [
      { type: 'whatsapp', messages: 4 },
      { type: 'telegram', messages: 1 },
    ]);
  });

  t.test('of a project, in percent', async (t) => {
    const answer = await parley.get(`/projects/${projectId}/analytics`, token);
    t.match(answer.body, {
      totalMessages: 5,
      statusCounts: { queued: 1, sent: 1, delivered: 2, failed: 1, undelivered: 0 },
      successRate: 60,
      deliveryRate: 66.67,
      connectorDistribution: { whatsapp: 5 },
    });
    t.match(answer.at('timeSeries.0'), { total: 5, sent: 1, delivered: 2, failed: 1 });
  });

  t.test('whose', async (t) => {
    for (const path of ['/analytics/messages?projectId=', '/analytics/usage?projectId=']) {
      t.equal((await parley.get(path + stranger.projectId, token)).status, 403);
      t.equal((await parley.get(`${path}proj_x`, token)).at('code'), 'PROJECT_NOT_FOUND');
      t.equal((await parley.get(path + projectId)).at('code'), 'INVALID_TOKEN');
    }
    t.equal((await parley.get('/analytics/messages', token)).at('code'), 'MISSING_REQUIRED_FIELD');
  });
});
