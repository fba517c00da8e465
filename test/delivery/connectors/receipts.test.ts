import { createHmac } from 'node:crypto';
import t from 'tap';
import type { IncomingReceipt } from '../../../src/commands/providers.ts';
import {
  CALLBACK_MESSAGE_PARAMETER,
  telegram,
  twilio as twilioProvider,
  whatsapp as whatsappProvider,
} from '../../../src/delivery/connectors/index.ts';

const base = { baseUrl: 'http://127.0.0.1:9', connections: 1 };
const whatsapp = whatsappProvider(base);
const twilio = twilioProvider(base);

function incoming(body: unknown, more: Partial<IncomingReceipt> = {}): IncomingReceipt {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return { rawBody: Buffer.from(text), headers: {}, url: 'https://parley.example/api/v1/webhooks/x', ...more };
}

function callback(statuses: unknown[], metadata: unknown = { phone_number_id: '4711' }): unknown {
  const value = { messaging_product: 'whatsapp', metadata, statuses };
  return { object: 'whatsapp_business_account', entry: [{ id: '1', changes: [{ value, field: 'messages' }] }] };
}

t.test('WhatsApp: every status, with all that it tells', (t) => {
  const status = { id: 'wamid.1', timestamp: '1504902988', recipient_id: '16315551181' };
  const failed = { ...status, status: 'failed', errors: [{ code: 131026, title: 'Undeliverable', message: 'm' }] };
  const body = callback([
    { ...status, status: 'sent', biz_opaque_callback_data: 'msg_1' },
    { ...status, status: 'delivered' },
    { ...status, status: 'read', timestamp: 1504902988 },
    failed,
    { ...status, status: 'deleted' },
    { ...status, status: 'warning' },
  ]);
  const common = { externalId: 'wamid.1', senderId: '4711', at: 1_504_902_988_000 };
  t.same(whatsapp.parseReceipt(incoming(body)), [
    { ...common, status: 'sent', dispatchId: 'msg_1' },
    { ...common, status: 'delivered' },
    { ...common, status: 'delivered' },
    { ...common, status: 'failed', error: 'Undeliverable' },
  ]);
  t.end();
});

t.test('WhatsApp: the text of a failure', (t) => {
  const text = (errors: unknown) =>
    whatsapp.parseReceipt(incoming(callback([{ id: 'w', status: 'failed', errors }])))[0]?.error;
  t.equal(text([{ title: 'title', message: 'message' }, { title: 'second' }]), 'title');
  t.equal(text([{ message: 'message' }]), 'message');
  t.equal(text([{ title: '', message: 'a\u0000b' }]), 'a b');
  for (const nothing of [undefined, null, [], [7], 'x', [{}]]) t.match(text(nothing), /could not deliver/);
  t.end();
});

t.test('WhatsApp: several entries and changes; other fields and objects are none of ours', (t) => {
  const one = (id: string) => ({ id, status: 'sent' });
  const change = (id: string, field = 'messages') => ({ field, value: { statuses: [one(id)] } });
  const entry = [{ changes: [change('a'), change('x', 'account_update'), change('b')] }, { changes: [change('c')] }];
  const ids = (object: string) => whatsapp.parseReceipt(incoming({ object, entry })).map((one) => one.externalId);
  t.same(ids('whatsapp_business_account'), ['a', 'b', 'c']);
  t.same(ids('page'), []);
  t.end();
});

t.test('nonsense yields nothing and never throws', (t) => {
  const object = 'whatsapp_business_account';
  const bodies: unknown[] = [
    '',
    '{',
    'null',
    '7',
    '"x"',
    '[]',
    '{}',
    '\u0000\u0001',
    { object },
    { object, entry: {} },
    { object, entry: [null, 7, 'x', [], { changes: null }, { changes: [null, { field: 'messages' }] }] },
    { object, entry: [{ changes: [{ field: 'messages', value: { statuses: 'x', metadata: 7 } }] }] },
    callback([null, 7, 'x', [], {}, { id: 'w' }, { status: 'sent' }, { id: 7.5, status: 'sent' }]),
    callback([
      { id: '', status: 'sent' },
      { id: 'a\u0000', status: 'sent' },
      { id: 'x'.repeat(999), status: 'sent' },
    ]),
    callback([
      { id: 'w', status: 'constructor' },
      { id: 'w', status: '__proto__' },
      { id: 'w', status: ['sent'] },
    ]),
    'MessageSid=&MessageStatus=sent',
    'MessageSid=SM1',
    'MessageStatus=sent',
    'MessageSid=SM1&MessageStatus=constructor',
    'MessageSid=SM1&MessageStatus=queued',
    'MessageSid=SM%00&MessageStatus=sent',
    '&&==%%%',
  ];
  for (const body of bodies) {
    for (const door of [whatsapp, twilio, telegram(base)]) {
      t.same(door.parseReceipt(incoming(body)), [], JSON.stringify(body));
    }
  }
  const binary = { ...incoming(''), rawBody: Buffer.from([0xff, 0xfe, 0x00, 0xc3, 0x28]) };
  for (const door of [whatsapp, twilio]) t.same(door.parseReceipt(binary), []);
  const [odd] = whatsapp.parseReceipt(
    incoming(callback([{ id: 'w', status: 'sent', timestamp: 'soon', biz_opaque_callback_data: {} }], 'x')),
  );
  t.same(odd, { status: 'sent', externalId: 'w' }, 'odd details are left out, the status counts');
  t.end();
});

t.test('WhatsApp: the signature is over the bytes that came', (t) => {
  const secret = 'app-secret';
  const receipt = incoming('{ "object":"whatsapp_business_account",  "entry": [] }');
  const digest = createHmac('sha256', secret).update(receipt.rawBody).digest('hex');
  const signed = (value: string | string[] | undefined, of = receipt) => ({
    ...of,
    headers: { 'x-hub-signature-256': value },
  });
  t.ok(whatsapp.verifyReceipt(signed(`sha256=${digest}`), secret));
  t.ok(whatsapp.verifyReceipt(signed(`sha256=${digest.toUpperCase()}`), secret));
  t.notOk(whatsapp.verifyReceipt(signed(`sha256=${digest}`), 'another-secret'));
  t.notOk(whatsapp.verifyReceipt(signed(`sha256=${digest}`, incoming('{}')), secret), 'another body');
  for (const wrong of [undefined, '', 'sha256=', digest, `sha1=${digest}`, `sha256=${digest}0`, [`sha256=${digest}`]]) {
    t.notOk(whatsapp.verifyReceipt(signed(wrong), secret), String(wrong));
  }
  const empty = createHmac('sha256', '').update(receipt.rawBody).digest('hex');
  t.notOk(whatsapp.verifyReceipt(signed(`sha256=${empty}`), ''), 'an empty secret signs nothing');
  t.end();
});

t.test('Twilio: statuses, our id from the address, the text of a failure', (t) => {
  const url = `https://parley.example/api/v1/webhooks/twilio?connectorId=conn_1&${CALLBACK_MESSAGE_PARAMETER}=msg_1`;
  const read = (body: string, at = url) => twilio.parseReceipt(incoming(body, { url: at }));
  const of = (status: string) => read(`MessageSid=SM1&MessageStatus=${status}&To=%2B15550107777`);
  t.equal(CALLBACK_MESSAGE_PARAMETER, 'messageId');
  t.same(of('sent'), [{ status: 'sent', externalId: 'SM1', dispatchId: 'msg_1' }]);
  for (const word of ['delivered', 'read']) {
    t.same(of(word), [{ status: 'delivered', externalId: 'SM1', dispatchId: 'msg_1' }], word);
  }
  for (const word of ['undelivered', 'failed', 'canceled']) {
    t.match(of(word), [{ status: 'failed', error: new RegExp(word), dispatchId: 'msg_1' }], word);
  }
  for (const word of ['accepted', 'scheduled', 'queued', 'sending', 'receiving', '']) t.same(of(word), [], word);
  t.match(read('MessageSid=SM1&MessageStatus=failed&ErrorCode=30003'), [{ error: /handset.*30003/ }]);
  t.match(read('MessageSid=SM1&MessageStatus=failed&ErrorCode=39999'), [{ error: /39999/ }]);
  t.match(read('MessageSid=SM1&MessageStatus=failed&ErrorCode=30003&ErrorMessage=told'), [{ error: 'told' }]);
  t.same(read('SmsSid=SM1&SmsStatus=sent', 'https://parley.example/x'), [{ status: 'sent', externalId: 'SM1' }]);
  t.end();
});

t.test('Twilio: the documented way of signing', (t) => {
  const secret = '12345';
  const url = 'https://parley.example/api/v1/webhooks/twilio?messageId=msg_1&connectorId=conn_1';
  const body = 'To=%2B18005551212&MessageStatus=sent&Empty=&MessageSid=SM1&From=%2B1+5';
  // Written out by hand: the address, then every field by name, the name and its decoded value.
  const text = `${url}EmptyFrom+1 5MessageSidSM1MessageStatussentTo+18005551212`;
  const signature = createHmac('sha1', secret).update(text).digest('base64');
  const signed = (value: string | undefined, more: Partial<IncomingReceipt> = {}) =>
    incoming(body, { url, ...more, headers: { 'x-twilio-signature': value } });
  t.ok(twilio.verifyReceipt(signed(signature), secret));
  t.notOk(twilio.verifyReceipt(signed(signature), '123456'));
  t.notOk(twilio.verifyReceipt(signed(signature, { url: `${url}&x=1` }), secret), 'another address');
  t.notOk(twilio.verifyReceipt(signed(signature, { rawBody: Buffer.from(`${body}&x=1`) }), secret), 'another body');
  for (const wrong of [undefined, '', signature.slice(1), `${signature}=`, signature.toLowerCase()]) {
    t.notOk(twilio.verifyReceipt(signed(wrong), secret), String(wrong));
  }
  t.notOk(twilio.verifyReceipt(signed(createHmac('sha1', '').update(text).digest('base64')), ''));
  t.end();
});

t.test('Twilio: the example of its documentation', (t) => {
  // "Webhooks security", the request and token of the worked example.
  const receipt = incoming(
    'Digits=1234&To=%2B18005551212&From=%2B14158675309&Caller=%2B14158675309&CallSid=CA1234567890ABCDE',
    {
      url: 'https://mycompany.com/myapp.php?foo=1&bar=2',
      headers: { 'x-twilio-signature': 'RSOYDt4T1cUTdK1PDd93/VVr8B8=' },
    },
  );
  t.ok(twilio.verifyReceipt(receipt, '12345'));
  t.end();
});

t.test('Telegram has no receipts to believe', (t) => {
  const door = telegram(base);
  t.same(door.parseReceipt(incoming('{"update_id":1}')), []);
  t.notOk(door.verifyReceipt(incoming('{}'), 'secret'));
  t.end();
});
