import { randomUUID } from 'node:crypto';
import t from 'tap';
import { startHarness } from './harness.ts';

/** The batch route, an extension of ours. */
t.test('batch', async (t) => {
  const parley = await startHarness(t, { KEY_RATE_LIMIT_FREE: '0', QUOTA_FREE: '0' });
  const { user, projectId, connectorId, templateId } = await parley.ground();
  const many = await parley.post(`/projects/${projectId}/keys`, { rateLimit: 1_000_000 }, user.token);
  const key = many.str('key');
  const good = { to: '+1234567890', connectorId, templateId, variables: { name: 'John' } };
  const batch = (body: unknown, as = key) => parley.call('POST', '/messages/batch', { as, body });
  const lines = (body: string, as = key) =>
    parley.call('POST', '/messages/batch', { as, body, contentType: 'application/x-ndjson' });
  const read = (text: string) =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  t.test('an array, each item for itself, in order', async (t) => {
    const before = await parley.events('DispatchAccepted');
    const answer = await batch([
      good,
      { ...good, to: 'x' },
      { ...good, connectorId: 'conn_x' },
      {},
      null,
      'text',
      { ...good, idempotencyKey: '' },
      { ...good, variables: [] },
      { ...good, to: '+1987654321' },
    ]);
    t.equal(answer.status, 200);
    t.match(answer.body, [
      { index: 0, status: 202, messageId: /^msg_/ },
      { index: 1, status: 400, code: 'INVALID_TO', error: 'Invalid phone number' },
      { index: 2, status: 404, code: 'CONNECTOR_NOT_FOUND' },
      { index: 3, status: 400, code: 'MISSING_REQUIRED_FIELD', details: { fields: [{ path: 'to' }] } },
      { index: 4, status: 400, code: 'INVALID_INPUT' },
      { index: 5, status: 400, code: 'INVALID_INPUT' },
      { index: 6, status: 400, code: 'INVALID_INPUT' },
      { index: 7, status: 400, code: 'INVALID_INPUT' },
      { index: 8, status: 202, messageId: /^msg_/ },
    ]);
    t.match(answer.headers.get('x-parley-position'), /^\d+$/);
    t.equal(await parley.events('DispatchAccepted'), before + 2);
    const message = await parley.get(`/messages/${answer.str('8.messageId')}`, user.token);
    t.match(message.body, { to: '+1987654321', text: 'Hello John!' });
  });

  t.test('lines, answered as lines; a malformed one fails alone', async (t) => {
    const body = `${JSON.stringify(good)}\r\n\n{"to":\n${JSON.stringify({ ...good, to: 'x' })}\n[]\n${JSON.stringify(good)}`;
    const answer = await lines(body);
    t.equal(answer.status, 200);
    t.match(answer.headers.get('content-type'), 'application/x-ndjson');
    t.ok(answer.text.endsWith('\n'));
    t.match(read(answer.text), [
      { index: 0, status: 202 },
      { index: 1, status: 400, code: 'INVALID_INPUT' },
      { index: 2, status: 400, code: 'INVALID_TO' },
      { index: 3, status: 400, code: 'INVALID_INPUT' },
      { index: 4, status: 202 },
    ]);
  });

  t.test('bytes that are no UTF-8 fail with their line alone', async (t) => {
    const line = (variables: object) => JSON.stringify({ ...good, variables });
    const body = Buffer.from(`${line({ name: 'J\xe9r\xf4me' })}\n${line({ name: 'Ann' })}\n`, 'latin1');
    const answer = await fetch(`${parley.url}/api/v1/messages/batch`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/x-ndjson' },
      body,
    });
    t.match(read(await answer.text()), [{ status: 400, code: 'INVALID_INPUT' }, { status: 202 }]);
  });

  t.test('keys that are no text', async (t) => {
    const answer = await parley.call('POST', '/messages/batch', {
      as: key,
      body: `[${['\\ud800', '\\ud801'].map((half) => JSON.stringify({ ...good, idempotencyKey: 'x' }).replace('"x"', `"${half}"`)).join()}]`,
    });
    t.match(answer.body, [
      { status: 400, code: 'INVALID_INPUT' },
      { status: 400, code: 'INVALID_INPUT' },
    ]);
  });

  t.test('replays: inside the batch, of a single send, and by one', async (t) => {
    const [one, two] = [randomUUID(), 'schlüssel'];
    const headers = { 'idempotency-key': one };
    const single = await parley.call('POST', '/messages', { as: key, body: good, headers });
    const before = await parley.events('DispatchAccepted');
    const answer = await parley.call('POST', '/messages/batch', {
      as: key,
      headers: { 'idempotency-key': 'ignored' },
      body: [
        { ...good, idempotencyKey: one },
        { ...good, idempotencyKey: two },
        { ...good, idempotencyKey: two, to: '+1987654321' },
        good,
        good,
      ],
    });
    const ids = [0, 1, 2, 3, 4].map((index) => answer.at(`${index}.messageId`));
    t.equal(ids[0], single.at('messageId'));
    t.equal(ids[1], ids[2]);
    t.not(ids[3], ids[4], 'without a key each is its own; the header is ignored');
    t.equal(await parley.events('DispatchAccepted'), before + 3);
    // A header is bytes: this is how a client sends the characters of the key.
    const bytes = Buffer.from(two, 'utf8').toString('latin1');
    const later = await parley.call('POST', '/messages', {
      as: key,
      body: good,
      headers: { 'idempotency-key': bytes },
    });
    t.equal(later.at('messageId'), ids[1]);
  });

  t.test('a thousand', async (t) => {
    const before = await parley.events('DispatchAccepted');
    const answer = await batch(Array.from({ length: 1_000 }, () => good));
    t.equal(answer.status, 200);
    const answers = answer.body as { index: number; status: number; messageId: string }[];
    t.ok(answers.every(({ status, index }, at) => status === 202 && index === at));
    t.equal(new Set(answers.map(({ messageId }) => messageId)).size, 1_000);
    t.equal(await parley.events('DispatchAccepted'), before + 1_000, 'all are stored when it is answered');
  });

  t.test('the whole request is refused', async (t) => {
    const before = await parley.events('DispatchAccepted');
    const cases: readonly (readonly [string, unknown])[] = [
      ['no array', good],
      ['an empty one', []],
      ['null', 'null'],
      ['no body', undefined],
      ['no JSON', '[{'],
      ['too many', Array.from({ length: 1_001 }, () => good)],
    ];
    for (const [what, body] of cases) {
      const answer = await batch(body);
      t.equal(answer.status, 400, what);
      t.equal(answer.at('code'), 'INVALID_INPUT', what);
    }
    for (const body of ['\n \n', Array.from({ length: 1_001 }, () => '{}').join('\n')])
      t.equal((await lines(body)).at('code'), 'INVALID_INPUT');
    const large = await batch(`[${'"x",'.repeat(1_100_000)}1]`);
    t.equal(large.status, 413);
    t.equal(large.at('code'), 'INVALID_INPUT');
    t.equal((await lines('x'.repeat(4_194_305))).status, 413);
    t.equal((await batch([good], 'nonsense')).at('code'), 'INVALID_API_KEY');
    t.equal((await parley.post('/messages/batch', [good])).at('code'), 'MISSING_API_KEY');
    t.equal(
      (await parley.call('POST', '/messages/batch', { as: key, body: 'x', contentType: 'text/csv' })).status,
      415,
    );
    t.equal(await parley.events('DispatchAccepted'), before, 'nothing was stored');
  });

  t.test('bodies of almost 4 MiB', async (t) => {
    const answer = await batch(
      Array.from({ length: 15 }, () => ({ ...good, variables: { other: 'x'.repeat(270_000) } })),
    );
    t.equal(answer.status, 200);
    t.equal(answer.at('14.status'), 202);
  });
});

t.test('limits of a batch', async (t) => {
  const parley = await startHarness(t, { QUOTA_FREE: '8' });
  const { user, projectId, connectorId, templateId } = await parley.ground();
  const good = { to: '+1234567890', connectorId, templateId };
  const keyOf = async (rateLimit: number) =>
    (await parley.post(`/projects/${projectId}/keys`, { rateLimit }, user.token)).str('key');
  const statuses = (body: unknown) => (body as { status: number }[]).map(({ status }) => status);

  const five = await keyOf(5);
  const answer = await parley.post('/messages/batch', [{ ...good, to: 'x' }, good, good, good, good, good, {}], five);
  t.equal(answer.status, 200);
  t.strictSame(statuses(answer.body), [400, 202, 202, 202, 202, 429, 429], 'each item uses a rate point');
  t.match(answer.at('6'), { code: 'RATE_LIMIT_EXCEEDED', details: { resetAt: /Z$/ } });
  t.equal((await parley.post('/messages', good, five)).status, 429);

  const more = await keyOf(500);
  const replayed = Array.from({ length: 3 }, () => ({ ...good, idempotencyKey: 'same' }));
  const beyond = await parley.post('/messages/batch', [...replayed, good, good, good, good], more);
  t.strictSame(statuses(beyond.body), [202, 202, 202, 202, 202, 202, 429], 'a replay uses no quota');
  t.match(beyond.at('6'), { code: 'QUOTA_EXCEEDED' });
  const again = await parley.post('/messages/batch', [good, ...replayed], more);
  t.strictSame(statuses(again.body), [429, 202, 202, 202]);
});
