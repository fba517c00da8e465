import t from 'tap';
import { ownMail, smtpTargetOf } from '../../../src/delivery/email/index.ts';
import { startSandbox } from '../../../src/sandbox/index.ts';
import { authority } from './authority.ts';
import { PASSWORD, rawServer, smtpServer } from './world.ts';

const mail = {
  from: 'company@gmail.com',
  to: 'new@example.org',
  subject: 'Generated password',
  text: 'Your password is: s3cret <&> "word"',
};
const ca = authority();
let ids = 0;
const newId = (): string => {
  ids += 1;
  return `mail${ids}`;
};

t.test('the address says how', (t) => {
  const plain = { host: 'mail.example', port: 587, tls: 'offered', auth: null };
  t.same(smtpTargetOf('smtp://mail.example'), plain);
  t.same(smtpTargetOf('smtp://mail.example:2525?tls=none'), { ...plain, port: 2525, tls: 'none' });
  t.same(smtpTargetOf('smtp://mail.example?tls=required'), { ...plain, tls: 'starttls' });
  t.same(smtpTargetOf('smtps://mail.example'), { ...plain, port: 465, tls: 'implicit' });
  t.same(smtpTargetOf('smtp://a%40b.example:p%2Fw@[::1]:25'), {
    host: '::1',
    port: 25,
    tls: 'starttls',
    auth: { user: 'a@b.example', pass: 'p/w' },
  });
  t.match(smtpTargetOf('smtp://u:p@mail.example?tls=none'), { tls: 'none' });
  for (const wrong of ['', 'mail.example', 'http://x', 'smtp://', 'smtp://x?tls=maybe', 'smtps://x?tls=none']) {
    t.throws(() => smtpTargetOf(wrong), TypeError, wrong);
  }
  for (const wrong of ['smtp://user:topsecret@', 'ftp://user:topsecret@host', 'smtps://user:topsecret@host?tls=none']) {
    t.throws(() => ownMail(wrong, { newId }), { message: /^(?!.*topsecret)/ }, 'the text shows nothing of the address');
  }
  t.end();
});

t.test('a mail to the catcher, without a login', async (t) => {
  const sandbox = await startSandbox();
  t.teardown(() => sandbox.close());
  t.equal(await ownMail(sandbox.smtpUrl, { newId }).mail(mail), true);
  t.match(sandbox.mails(), [
    { from: mail.from, to: [mail.to], subject: mail.subject, html: null, text: /s3cret <&> "word"/ },
  ]);
});

t.test('credentials are not sent without TLS, unless the operator says so', async (t) => {
  const server = await smtpServer(t);
  const address = `user:${encodeURIComponent(PASSWORD)}@127.0.0.1:${server.port}`;
  t.equal(await ownMail(`smtp://${address}`, { newId }).mail(mail), false);
  t.same(server.logins, []);
  t.equal(await ownMail(`smtp://${address}?tls=none`, { newId }).mail(mail), true);
  const secure = await smtpServer(t, ca.issue('127.0.0.1'));
  const over = `user:${encodeURIComponent(PASSWORD)}@127.0.0.1:${secure.port}`;
  t.equal(await ownMail(`smtp://${over}`, { newId, ca: [ca.cert] }).mail(mail), true);
  t.equal(
    await ownMail(`smtp://127.0.0.1:${secure.port}`, { newId }).mail(mail),
    false,
    'TLS is verified where it is taken',
  );
  t.match(secure.arrived, [{ secure: true, user: 'user' }]);
});

t.test('it never throws, and keeps to its time and number', async (t) => {
  const silent = await rawServer(t, () => {});
  const url = `smtp://127.0.0.1:${silent.port}`;
  t.equal(await ownMail(url, { newId, timeoutMs: 50 }).mail(mail), false);
  t.equal(await ownMail('smtp://127.0.0.1:1', { newId }).mail(mail), false);
  t.equal(await ownMail(url, { newId }).mail({ ...mail, subject: 'a\r\nb' }), false);
  const one = ownMail(url, { newId, timeoutMs: 200, maxInFlight: 1 });
  const first = one.mail(mail);
  t.equal(await one.mail(mail), false, 'the second is not begun');
  t.equal(await first, false);
});
