import { createHmac } from 'node:crypto';
import t from 'tap';
import { CALLBACK_MESSAGE_PARAMETER } from '../../../src/delivery/connectors/index.ts';
import { twilioCallback } from '../../../src/dialects/messagejs/index.ts';
import { IdSpeller } from '../../../src/platform/ids.ts';
import { credentials, type Harness, startHarness } from './harness.ts';

/** MessageJS sheet, section 14. */

const appSecret = 'app secret';

function whatsappBody(...statuses: object[]): string {
  const metadata = { phone_number_id: credentials.whatsapp.phoneNumberId };
  const value = { messaging_product: 'whatsapp', metadata, statuses };
  return JSON.stringify({
    object: 'whatsapp_business_account',
    entry: [{ id: '1', changes: [{ field: 'messages', value }] }],
  });
}

function signed(body: string, secret = appSecret) {
  return { 'x-hub-signature-256': `sha256=${createHmac('sha256', secret).update(body).digest('hex')}` };
}

/** A message that was sent and of which the provider says nothing more by itself. */
async function sentMessage(parley: Harness, ground: Awaited<ReturnType<Harness['ground']>>) {
  const { user, key, connectorId, templateId } = ground;
  const answer = await parley.post('/messages', { to: '+1234560008', connectorId, templateId }, key);
  const id = answer.str('messageId');
  const message = await parley.status(id, 'sent', user.token);
  return { id, dispatch: id.slice('msg_'.length), externalId: message.str('metadata.messageId') };
}

t.test('WhatsApp', async (t) => {
  const parley = await startHarness(t, { WHATSAPP_APP_SECRET: appSecret, WHATSAPP_VERIFY_TOKEN: 'verify me' });
  const ground = await parley.ground();
  const { token } = ground.user;
  const post = (body: string | Buffer, headers: Record<string, string> = signed(String(body))) =>
    parley.call('POST', '/webhooks/whatsapp', { body, headers });

  t.test('verification', async (t) => {
    const verify = (query: string) => parley.get(`/webhooks/whatsapp?${query}`);
    const good = await verify('hub.mode=subscribe&hub.verify_token=verify%20me&hub.challenge=%3Cb%3E1158');
    t.equal(good.status, 200);
    t.equal(good.text, '<b>1158');
    t.match(good.headers.get('content-type'), /^text\/plain/);
    for (const [query, status] of [
      ['hub.mode=subscribe&hub.challenge=1', 400],
      ['hub.verify_token=verify%20me&hub.challenge=1', 400],
      ['', 400],
      ['hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1', 403],
      ['hub.mode=unsubscribe&hub.verify_token=verify%20me&hub.challenge=1', 403],
    ] as const) {
      t.equal((await verify(query)).status, status, query);
    }
  });

  t.test('receipts move a message, never backwards', async (t) => {
    const { id, externalId } = await sentMessage(parley, ground);
    const status = (word: string) =>
      whatsappBody({ id: externalId, status: word, timestamp: '1700000000', recipient_id: '1' });
    t.equal((await post(status('delivered'))).status, 200);
    const delivered = await parley.get(`/messages/${id}`, token);
    t.equal(delivered.at('status'), 'delivered', 'a read after the answer sees it');
    t.match(delivered.at('deliveredAt'), /Z$/);
    for (const word of ['sent', 'read', 'failed', 'anything', 'delivered'])
      t.equal((await post(status(word))).status, 200);
    t.strictSame((await parley.get(`/messages/${id}`, token)).body, delivered.body);
  });

  t.test('by our own id, several at once', async (t) => {
    const [one, two] = [await sentMessage(parley, ground), await sentMessage(parley, ground)];
    const body = whatsappBody(
      { id: 'wamid.other', biz_opaque_callback_data: one.dispatch, status: 'read' },
      { id: two.externalId, status: 'failed', errors: [{ code: 131026, title: 'Message undeliverable' }] },
    );
    t.equal((await post(body)).status, 200);
    t.equal((await parley.get(`/messages/${one.id}`, token)).at('status'), 'delivered');
    t.match((await parley.get(`/messages/${two.id}`, token)).body, {
      status: 'failed',
      error: 'Message undeliverable',
    });
  });

  t.test('nonsense is taken, and what matches nothing yet', async (t) => {
    for (const body of [
      '',
      '{',
      '[]',
      'null',
      '{"object":"page"}',
      whatsappBody({}),
      whatsappBody({ id: 5, status: [] }),
    ])
      t.equal((await post(body)).status, 200, body);
    t.equal((await post(whatsappBody({ id: 'wamid.unknown', status: 'delivered' }))).status, 200);
    const form = await parley.call('POST', '/webhooks/whatsapp', {
      body: 'a=b',
      contentType: 'text/plain',
      headers: signed('a=b'),
    });
    t.equal(form.status, 200);
  });

  t.test('signatures', async (t) => {
    const { id, externalId } = await sentMessage(parley, ground);
    const body = whatsappBody({ id: externalId, status: 'delivered' });
    for (const headers of [{}, { 'x-hub-signature-256': 'x' }, signed(body, 'wrong'), signed(`${body} `)]) {
      const answer = await post(body, headers);
      t.equal(answer.status, 403);
      t.equal(answer.at('code'), 'ACCESS_DENIED');
    }
    t.equal((await parley.get(`/messages/${id}`, token)).at('status'), 'sent');
    t.equal((await post(body)).status, 200);
    t.equal((await parley.get(`/messages/${id}`, token)).at('status'), 'delivered');
  });
});

t.test('WhatsApp, unsigned', async (t) => {
  const parley = await startHarness(t);
  const ground = await parley.ground();
  const { id, externalId } = await sentMessage(parley, ground);
  const body = whatsappBody({ id: externalId, status: 'delivered' });
  t.equal((await parley.call('POST', '/webhooks/whatsapp', { body })).status, 200);
  t.equal((await parley.get(`/messages/${id}`, ground.user.token)).at('status'), 'delivered');
  const verify = await parley.get('/webhooks/whatsapp?hub.mode=subscribe&hub.verify_token=&hub.challenge=1');
  t.equal(verify.status, 400);
  const any = await parley.get('/webhooks/whatsapp?hub.mode=subscribe&hub.verify_token=x&hub.challenge=1');
  t.equal(any.status, 403, 'without a token nobody is verified');
});

t.test('Twilio calls the address that it was given', async (t) => {
  const parley = await startHarness(t);
  const { user, key, connectorId, templateId } = await parley.ground({ type: 'twilio' });
  const sent = await parley.post('/messages', { to: '+1234567890', connectorId, templateId }, key);
  const message = await parley.status(sent.str('messageId'), 'delivered', user.token);
  t.match(message.at('metadata.messageId'), /^SM/);
  const failed = await parley.post('/messages', { to: '+1234560002', connectorId, templateId }, key);
  t.match((await parley.status(failed.str('messageId'), 'failed', user.token)).at('error'), /\w/);
});

t.test('the address of a message', async (t) => {
  const speller = new IdSpeller(Buffer.alloc(32, 7));
  const message = { workspace: 3, connector: 4, dispatch: 'a'.repeat(24) };
  const address = new URL(twilioCallback('https://parley.example', speller, message));
  t.equal(address.origin + address.pathname, 'https://parley.example/api/v1/webhooks/twilio');
  t.equal(address.searchParams.get(CALLBACK_MESSAGE_PARAMETER), message.dispatch, 'the name that the connector reads');
  t.match(address.searchParams.get('connectorId'), /^conn_[a-z0-9]{24}$/);
});

t.test('Twilio', async (t) => {
  const base = 'https://parley.example';
  // Nothing listens at that address: only the receipts of this test come in.
  const parley = await startHarness(t, { API_BASE_URL: base });
  const ground = await parley.ground({ type: 'twilio' });
  const { token } = ground.user;
  const { authToken } = credentials.twilio;

  const callback = (
    dispatch: string,
    form: Record<string, string>,
    ask: { secret?: string; connector?: string } = {},
  ) => {
    const { secret = authToken, connector = ground.connectorId } = ask;
    const path = `/webhooks/twilio?messageId=${dispatch}&connectorId=${connector}`;
    const fields = Object.entries(form).sort(([a], [b]) => (a < b ? -1 : 1));
    const text = `${base}/api/v1${path}${fields.flat().join('')}`;
    return parley.call('POST', path, {
      body: new URLSearchParams(form).toString(),
      contentType: 'application/x-www-form-urlencoded',
      headers: { 'x-twilio-signature': createHmac('sha1', secret).update(text).digest('base64') },
    });
  };
  const form = (externalId: string, status: string, more = {}) => ({
    MessageSid: externalId,
    MessageStatus: status,
    To: '+1',
    ...more,
  });

  t.test('receipts', async (t) => {
    const { id, dispatch, externalId } = await sentMessage(parley, ground);
    const sent = await callback(dispatch, form(externalId, 'sent'));
    t.equal(sent.status, 204);
    t.equal(sent.text, '');
    t.equal((await callback(dispatch, form(externalId, 'delivered'))).status, 204);
    t.equal((await parley.get(`/messages/${id}`, token)).at('status'), 'delivered');
    const other = await sentMessage(parley, ground);
    const undelivered = form(other.externalId, 'undelivered', { ErrorCode: '30003' });
    t.equal((await callback(other.dispatch, undelivered)).status, 204);
    t.match((await parley.get(`/messages/${other.id}`, token)).body, { status: 'failed', error: /30003/ });
    t.equal((await callback(other.dispatch, { nonsense: 'x' })).status, 204);
  });

  t.test('signatures and connectors', async (t) => {
    const { id, dispatch, externalId } = await sentMessage(parley, ground);
    const delivered = form(externalId, 'delivered');
    t.equal((await callback(dispatch, delivered, { secret: 'wrong' })).status, 403);
    t.equal((await callback(dispatch, delivered, { connector: 'conn_x' })).status, 403);
    t.equal((await parley.call('POST', '/webhooks/twilio', { body: 'a=b' })).status, 403);
    const other = await parley.ground({ type: 'whatsapp' });
    t.equal((await callback(dispatch, delivered, { connector: other.connectorId, secret: '' })).status, 403);
    t.equal((await parley.get(`/messages/${id}`, token)).at('status'), 'sent');
  });

  t.test('a receipt that comes after its connector was deleted', async (t) => {
    const late = await parley.ground({ user: ground.user, type: 'twilio' });
    const { dispatch, externalId } = await sentMessage(parley, late);
    await parley.del(`/projects/${late.projectId}/connectors/${late.connectorId}`, token);
    const answer = await callback(dispatch, form(externalId, 'delivered'), { connector: late.connectorId });
    t.equal(answer.status, 204);
  });
});
