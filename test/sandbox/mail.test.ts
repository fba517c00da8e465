import { once } from 'node:events';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { type CaughtMail, type SandboxOptions, startSandbox } from '../../src/sandbox/index.ts';
import { Mailbox } from '../../src/sandbox/mailbox.ts';

async function start(test: Test, options: SandboxOptions = {}) {
  const sandbox = await startSandbox(options);
  test.teardown(() => sandbox.close());
  return sandbox;
}

/** Says the lines to a mail server, each after the answer to the one before; gives all answers. */
async function say({ host, port }: { host: string; port: number }, lines: readonly string[]): Promise<string[]> {
  const socket = connect(port, host);
  const answers: string[] = [];
  let text = '';
  const answer = async (): Promise<void> => {
    for (;;) {
      const end = /^(?:\d{3}-.*\r\n)*\d{3}(?: .*)?\r\n/.exec(text);
      if (end) {
        answers.push(end[0]);
        text = text.slice(end[0].length);
        return;
      }
      const [chunk] = (await once(socket, 'data')) as [Buffer];
      text += chunk.toString();
    }
  };
  await answer();
  for (const line of lines) {
    socket.write(`${line}\r\n`);
    await answer();
  }
  socket.destroy();
  return answers;
}

const conversation = (to: string, subject: string, body = 'Hello') => [
  'EHLO test',
  'MAIL FROM:<a@example.com>',
  `RCPT TO:<${to}>`,
  'DATA',
  `From: Someone <a@example.com>\r\nTo: ${to}\r\nSubject: ${subject}\r\nMessage-ID: <1@x>\r\n\r\n${body}\r\n.`,
  'QUIT',
];

t.test('a mail that was caught can be looked at, by people and by programs', async (t) => {
  const sandbox = await start(t);
  t.match(sandbox.smtpUrl, /^smtp:\/\/127\.0\.0\.1:\d+$/);
  const subject = '<script>alert(1)</script> & more';
  const answers = await say(sandbox.smtp, conversation('one@example.org', subject, 'Hello <b>you</b>'));
  t.match(answers[5], /^250 /);
  t.notMatch(answers[1], 'STARTTLS', 'without a certificate it is not offered');

  const list = (await (await fetch(`${sandbox.url}/sandbox/mails?to=ONE@example.org`)).json()) as {
    mails: CaughtMail[];
  };
  const expected = {
    number: 1,
    provider: 'smtp',
    from: '"Someone" <a@example.com>',
    to: ['one@example.org'],
    bcc: [],
    subject,
    html: null,
    messageId: '<1@x>',
  };
  t.match(list.mails, [expected]);
  t.match(await (await fetch(`${sandbox.url}/sandbox/mails/1`)).json(), expected);
  t.same(await (await fetch(`${sandbox.url}/sandbox/mails?to=two@example.org`)).json(), { mails: [] });

  const page = await (await fetch(sandbox.url)).text();
  t.match(page, '<a href="/mails/1">&lt;script&gt;alert(1)&lt;/script&gt; &amp; more</a>');
  t.notMatch(page, '<script>');
  const answer = await fetch(`${sandbox.url}/mails/1`);
  t.match(answer.headers.get('content-type'), 'text/html');
  const shown = await answer.text();
  t.match(shown, '<pre>Hello &lt;b&gt;you&lt;/b&gt;');
  t.match(shown, '&lt;script&gt;alert(1)&lt;/script&gt; &amp; more');
  t.notMatch(shown, '<script>');

  for (const path of ['/mails/2', '/mails/x', '/sandbox/mails/2', '/mails/1/']) {
    t.equal((await fetch(sandbox.url + path)).status, 404, path);
  }
  for (const query of ['limit=0', 'limit=x', 'since=-1']) {
    t.equal((await fetch(`${sandbox.url}/sandbox/mails?${query}`)).status, 400, query);
  }
  sandbox.reset();
  t.same(sandbox.mails(), []);
  t.match(await (await fetch(sandbox.url)).text(), 'No mail has arrived yet');
});

t.test('the HTML of a mail is shown in a frame that can do nothing', async (t) => {
  const sandbox = await start(t);
  const form = new URLSearchParams({
    from: 'a@example.com',
    to: 'b@example.org',
    subject: 'x',
    html: '"></iframe><script>alert(1)</script><img src="http://tracker.example/">',
  });
  const authorization = `Basic ${btoa('api:key')}`;
  const url = `${sandbox.mailgunUrl}/mg.example.com/messages`;
  t.equal((await fetch(url, { method: 'POST', headers: { authorization }, body: form })).status, 200);
  const shown = await (await fetch(`${sandbox.url}/mails/1`)).text();
  t.match(shown, /<iframe sandbox srcdoc="[^"]*default-src &#39;none&#39;[^"]*"><\/iframe>/);
  t.equal(shown.match(/<script>|<img/g), null);
});

t.test('what the catcher refuses', async (t) => {
  const sandbox = await start(t);
  const codes = async (to: string) =>
    (await say(sandbox.smtp, conversation(to, to).slice(0, 3))).map((one) => one.slice(0, 3));
  t.same(await codes('one@example.org'), ['220', '250', '250', '250']);
  t.same(await codes('user0001@example.org'), ['220', '250', '250', '550']);
  t.same(await codes('user0003@example.org'), ['220', '250', '250', '450']);
  t.same(await codes('user0003@example.org'), ['220', '250', '250', '250'], 'put off once');
  const login = (password: string) => [
    'EHLO test',
    `AUTH PLAIN ${Buffer.from(`\u0000user\u0000${password}`).toString('base64')}`,
  ];
  t.match((await say(sandbox.smtp, login('good')))[2], /^235/);
  t.match((await say(sandbox.smtp, login('bad-one')))[2], /^535/);
  sandbox.behave({ provider: 'smtp', down: true });
  t.match(await say(sandbox.smtp, []), [/^421/]);
  t.same(sandbox.mails(), []);
  t.match(sandbox.counts().smtp, { rejected: 1, throttled: 1, accepted: 0, checks: 2 });
});

t.test('broken sends get the providers’ own refusals', async (t) => {
  const sandbox = await start(t);
  const post = async (url: string, body: string, headers: Record<string, string>) => {
    const answer = await fetch(url, { method: 'POST', headers, body });
    return answer.status;
  };
  const mailgun = { authorization: `Basic ${btoa('api:key')}` };
  const sendgrid = { authorization: 'Bearer key' };
  const postmark = { 'x-postmark-server-token': 'key' };
  for (const body of [
    '',
    '{',
    '[]',
    'null',
    '{"From":5}',
    '{"from":{"email":7},"personalizations":[1]}',
    'from=x&to=y',
  ]) {
    t.equal(await post(`${sandbox.mailgunUrl}/mg.example.com/messages`, body, mailgun), 400, body);
    t.equal(await post(`${sandbox.sendgridUrl}/v3/mail/send`, body, sendgrid), 400, body);
    t.equal(await post(`${sandbox.postmarkUrl}/email`, body, postmark), 422, body);
    t.equal(await post(`${sandbox.postmarkUrl}/email/batch`, body, postmark), 422, body);
    t.equal(await post(`${sandbox.sesUrl}/v2/email/outbound-emails`, body, {}), 403, 'not signed');
  }
  const stale =
    'AWS4-HMAC-SHA256 Credential=AK/20200101/us-east-1/ses/aws4_request, SignedHeaders=host;x-amz-date, Signature=' +
    '0'.repeat(64);
  const signed = { authorization: stale, 'x-amz-date': '20200101T000000Z' };
  t.equal(await post(`${sandbox.sesUrl}/v2/email/outbound-emails`, '{}', signed), 403, 'signed long ago');
  for (const [url, headers] of [
    [`${sandbox.mailgunUrl}/x/y/z`, mailgun],
    [`${sandbox.sendgridUrl}/v3/x`, sendgrid],
    [`${sandbox.postmarkUrl}/x`, postmark],
    [`${sandbox.sesUrl}/x`, {}],
  ] as const) {
    t.equal(await post(url, '', headers), 404, url);
  }
  t.same(sandbox.mails(), []);
});

t.test('the mailbox keeps the newest, by number and by size', (t) => {
  const mail = { from: '', to: [], cc: [], bcc: [], replyTo: null, subject: '', html: null, messageId: null };
  const few = new Mailbox(3, 1e9);
  for (let i = 1; i <= 10; i += 1) few.add({ ...mail, text: String(i) }, i, 'smtp');
  t.same(
    few.list({}).map(({ number }) => number),
    [8, 9, 10],
  );
  t.same(
    few.list({ since: 8, limit: 1 }).map(({ number }) => number),
    [9],
  );
  t.same(
    few.list({ limit: 2 }).map(({ number }) => number),
    [9, 10],
  );
  t.equal(few.get(1), undefined);
  t.match(few.get(9), { text: '9' });
  const small = new Mailbox(100, 1_000);
  for (let i = 1; i <= 10; i += 1) small.add({ ...mail, text: 'x'.repeat(400) }, i, 'smtp');
  t.equal(small.list({}).length, 2);
  small.add({ ...mail, text: 'x'.repeat(5_000) }, 11, 'smtp');
  t.same(
    small.list({}).map(({ number }) => number),
    [11],
    'the newest is kept however big it is',
  );
  t.end();
});

t.test('a port that is taken is an error, and leaves nothing open', async (t) => {
  const sandbox = await start(t);
  const smtpPort = sandbox.smtp.port;
  const trouble: string[] = [];
  const log = (text: string) => trouble.push(text);
  await t.rejects(startSandbox({ smtpPort, log }), { code: 'EADDRINUSE' });
  const other = await start(t, { smtpPort, orAnySmtpPort: true, log });
  t.not(other.smtp.port, smtpPort, 'unless any other will do');
  t.match((await say(other.smtp, ['QUIT']))[1], /^221 /);
  t.same(trouble, []);
});
