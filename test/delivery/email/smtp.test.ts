import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { smtp } from '../../../src/delivery/email/index.ts';
import { type OutboundGuard, outboundGuard } from '../../../src/platform/outbound-guard.ts';
import { authority } from './authority.ts';
import { message, openGuard, PASSWORD, rawServer, refusal, smtpConfig, smtpServer } from './world.ts';

const HOST = 'mail.example.test';
const ca = authority();
const TIMEOUT_MS = 10_000;

function channel(port: number, more: { ca?: string[]; guard?: OutboundGuard; checkTimeoutMs?: number } = {}) {
  const { guard = openGuard(), ...rest } = more;
  return smtp({ guard, allowedPorts: [port], ...rest });
}

const plain = { use_tls: false };

/** A server with TLS on demand, and one with nothing but TLS. */
const starttls = (t: Test, more = {}) => smtpServer(t, { ...ca.issue(HOST), ...more });
const implicit = (t: Test, more = {}) => smtpServer(t, { ...ca.issue(HOST), secure: true, ...more });

t.test('a mail as it arrives', async (t) => {
  const server = await smtpServer(t);
  const sent = await channel(server.port).send(
    message({
      from: { address: 'noreply@example.com', name: 'The "Parley" Team, Ltd' },
      replyTo: 'answers@example.com',
      to: ['one@example.org', 'two@example.org'],
      cc: ['three@example.org'],
      bcc: ['four@example.org'],
      subject: 'Grüße 👋 = you?',
      content:
        '<style>p{}</style><h1>Hello</h1><p>Fünf &lt; sechs<br>.a dot begins this line</p><a href="https://x.example/">go</a>',
    }),
    smtpConfig(server.port, plain),
    { timeoutMs: TIMEOUT_MS },
  );
  t.same(sent, { outcome: 'sent', externalId: null, undelivered: [] });
  const [arrived] = server.arrived;
  t.equal(arrived?.sender, 'noreply@example.com');
  t.same(arrived?.recipients, ['one@example.org', 'two@example.org', 'three@example.org', 'four@example.org']);
  t.equal(arrived?.user, 'user');
  t.match(arrived?.raw, /^From: "The \\"Parley\\" Team, Ltd" <noreply@example\.com>\r\n/m, 'the name is quoted');
  t.match(arrived?.raw, /^Content-Type: multipart\/alternative/m);
  t.notMatch(arrived?.raw, 'four@example.org', 'no header names the hidden recipient');
  t.match(arrived?.mail, {
    from: { address: 'noreply@example.com', name: 'The "Parley" Team, Ltd' },
    replyTo: [{ address: 'answers@example.com' }],
    to: [{ address: 'one@example.org' }, { address: 'two@example.org' }],
    cc: [{ address: 'three@example.org' }],
    subject: 'Grüße 👋 = you?',
    messageId: '<0b5a7c1e-7f0a-4a39-9d8e-1f5f7a1b2c3d@example.com>',
  });
  t.match(arrived?.mail.html, '<h1>Hello</h1><p>Fünf &lt; sechs<br>.a dot begins this line</p>');
  t.equal(arrived?.mail.text?.trim(), 'Hello\n\nFünf < sechs\n.a dot begins this line\ngo (https://x.example/)');
  await server.idle();
});

t.test('a text alone, a name without quotes, a name in other letters, and none', async (t) => {
  const server = await smtpServer(t);
  const door = channel(server.port);
  const config = smtpConfig(server.port, plain);
  const froms = ['Parley', 'Überraschung für Zoë — eine sehr lange Bezeichnung für einen Absender 👋', null];
  for (const name of froms) {
    const mail = message({ from: { address: 'a@example.com', name }, content: 'x < y & <b>', contentType: 'text' });
    t.match(await door.send(mail, config), { outcome: 'sent' });
  }
  t.match(server.arrived[0]?.raw, /^From: "Parley" <a@example\.com>\r$/m);
  t.match(server.arrived[0]?.raw, /^Content-Type: text\/plain/m);
  t.equal(server.arrived[0]?.mail.text?.trim(), 'x < y & <b>');
  t.equal(server.arrived[0]?.mail.html, undefined);
  t.equal(server.arrived[1]?.mail.from?.name, froms[1]);
  t.match(server.arrived[2]?.raw, /^From: a@example\.com\r$/m);
});

t.test('the same mail again carries the same Message-ID, another mail another', async (t) => {
  const server = await smtpServer(t);
  const config = smtpConfig(server.port, plain);
  await channel(server.port).send(message(), config);
  await channel(server.port).send(message(), config);
  await channel(server.port).send(message({ id: 'other' }), config);
  const [first, again, other] = server.arrived.map(({ mail }) => mail.messageId);
  t.equal(first, again);
  t.not(first, other);
});

t.test('STARTTLS', async (t) => {
  const server = await starttls(t);
  const sent = await channel(server.port, { ca: [ca.cert] }).send(message(), smtpConfig(server.port));
  t.match(sent, { outcome: 'sent' });
  t.match(server.arrived, [{ secure: true, user: 'user' }]);
  t.match(server.logins, [{ secure: true }]);
});

t.test('TLS from the first byte', async (t) => {
  const server = await implicit(t);
  const config = smtpConfig(server.port, { use_ssl: true });
  t.match(await channel(server.port, { ca: [ca.cert] }).send(message(), config), { outcome: 'sent' });
  t.match(server.arrived, [{ secure: true, user: 'user' }]);
});

t.test('a certificate that cannot be verified: nothing is said to such a server', async (t) => {
  const past = { from: new Date('2020-01-01'), to: new Date('2020-02-01') };
  const servers = {
    'unknown authority': { given: authority('Somebody').issue(HOST), trusted: ca },
    'another name': { given: ca.issue('other.example.test'), trusted: ca },
    expired: { given: ca.issue(HOST, past), trusted: ca },
  };
  for (const [why, { given, trusted }] of Object.entries(servers)) {
    for (const secure of [false, true]) {
      const server = await smtpServer(t, { ...given, secure });
      const config = smtpConfig(server.port, { use_ssl: secure });
      const door = channel(server.port, { ca: [trusted.cert] });
      const name = `${why}, ${secure ? 'implicit' : 'STARTTLS'}`;
      t.match(
        await door.send(message(), config),
        { outcome: 'rejected', error: /certificate cannot be verified/ },
        name,
      );
      t.match(await door.check(config, 'a@example.com'), { valid: false, error: /certificate/ }, name);
      t.same(server.logins, [], name);
      t.same(server.arrived, [], name);
      await server.idle();
    }
  }
  const server = await starttls(t);
  const without = channel(server.port);
  t.match(await without.send(message(), smtpConfig(server.port)), { outcome: 'rejected' }, 'no authority named');
});

t.test('an address instead of a name is verified as one', async (t) => {
  const server = await smtpServer(t, { ...ca.issue('127.0.0.1') });
  const door = channel(server.port, { ca: [ca.cert] });
  t.match(await door.send(message(), smtpConfig(server.port, { host: '127.0.0.1' })), { outcome: 'sent' });
  const other = await smtpServer(t, { ...ca.issue('127.0.0.2') });
  const wrong = channel(other.port, { ca: [ca.cert] }).send(message(), smtpConfig(other.port, { host: '127.0.0.1' }));
  t.match(await wrong, { outcome: 'rejected', error: /certificate/ });
});

t.test('NODE_EXTRA_CA_CERTS is trusted', async (t) => {
  const server = await starttls(t);
  const file = path.join(t.testdir(), 'authority.pem');
  writeFileSync(file, ca.cert);
  const child = path.join(import.meta.dirname, 'child.ts');
  const run = async (extra: Record<string, string>) => {
    const env = { ...process.env, ...extra };
    const { stdout } = await promisify(execFile)(process.execPath, [child, String(server.port)], { env });
    return JSON.parse(stdout) as unknown;
  };
  t.match(await run({ NODE_EXTRA_CA_CERTS: file }), { outcome: 'sent' });
  t.match(await run({ NODE_EXTRA_CA_CERTS: '' }), { outcome: 'rejected', error: /certificate/ });
  t.equal(server.arrived.length, 1);
});

t.test('a server without STARTTLS gets neither password nor mail', async (t) => {
  const server = await smtpServer(t);
  const door = channel(server.port, { ca: [ca.cert] });
  const sent = await door.send(message(), smtpConfig(server.port));
  t.same(sent, { outcome: 'rejected', error: 'SMTP: the server does not offer STARTTLS' });
  t.same(await door.check(smtpConfig(server.port), 'a@example.com'), {
    valid: false,
    error: 'SMTP: the server does not offer STARTTLS',
  });
  t.same([server.logins, server.arrived], [[], []]);
  // One that takes the word back only after it was asked for.
  const lines: string[] = [];
  const liar = await rawServer(t, (socket) => {
    socket.write('220 liar\r\n');
    socket.on('data', (chunk) => {
      const line = chunk.toString();
      lines.push(line);
      socket.write(line.startsWith('EHLO') ? '250-liar\r\n250 STARTTLS\r\n' : '454 4.7.0 TLS not available now\r\n');
    });
  });
  const refused = await channel(liar.port).send(message(), smtpConfig(liar.port));
  t.match(refused, { outcome: 'unreachable', error: /454/ });
  t.notMatch(lines.join(''), /AUTH|MAIL/);
});

t.test('TLS spoken to a server that expects none', async (t) => {
  const server = await smtpServer(t);
  const config = smtpConfig(server.port, { use_ssl: true });
  t.match(await channel(server.port).send(message(), config, { timeoutMs: 2_000 }), { outcome: 'unreachable' });
  t.same(server.arrived, []);
});

t.test('LOGIN and PLAIN', async (t) => {
  for (const method of ['LOGIN', 'PLAIN']) {
    const server = await smtpServer(t, { authMethods: [method] });
    t.match(await channel(server.port).send(message(), smtpConfig(server.port, plain)), { outcome: 'sent' });
    t.match(server.logins, [{ method, username: 'user' }]);
  }
});

t.test('a login that fails', async (t) => {
  const server = await smtpServer(t);
  const wrong = smtpConfig(server.port, { ...plain, password: 'a-wrong-password' });
  const door = channel(server.port);
  const sent = await door.send(message(), wrong);
  t.match(sent, { outcome: 'rejected', error: /login was refused: 535/ });
  t.same(await door.check(wrong, 'a@example.com'), { valid: false, error: 'SMTP refused the credentials' });
  t.same(server.arrived, []);

  const later = await smtpServer(t, { onAuth: (_auth, _session, done) => done(refusal(454, '4.7.0 Try later')) });
  t.match(await channel(later.port).send(message(), smtpConfig(later.port, plain)), { outcome: 'unreachable' });

  const echo = await smtpServer(t, {
    onAuth: (auth, _session, done) => done(refusal(535, `No ${auth.password} ${btoa(auth.password ?? '')}`)),
  });
  const quoted = await channel(echo.port).send(
    message(),
    smtpConfig(echo.port, { ...plain, password: 'quoted-password' }),
  );
  t.match(quoted, { outcome: 'rejected', error: /\[redacted\] \[redacted\]/ });
  t.notMatch(JSON.stringify(quoted), 'quoted-password');
});

t.test('recipients that are refused or put off', async (t) => {
  const server = await smtpServer(t, {
    onRcptTo({ address }, _session, done) {
      if (address.startsWith('no')) done(refusal(550, '5.1.1 No such user'));
      else if (address.startsWith('later')) done(refusal(450, '4.2.0 Greylisted'));
      else done();
    },
  });
  const door = channel(server.port);
  const send = (...to: string[]) => door.send(message({ to }), smtpConfig(server.port, plain));
  t.match(await send('no@x.org'), { outcome: 'rejected', error: /550 5\.1\.1 No such user/ });
  t.match(await send('no@x.org', 'nor@x.org'), { outcome: 'rejected' });
  t.match(await send('later@x.org'), { outcome: 'unreachable', error: /450 4\.2\.0 Greylisted/ });
  t.match(await send('no@x.org', 'later@x.org'), { outcome: 'unreachable' }, 'one of them may get it later');
  t.same(server.arrived, []);
  const sent = await send('no@x.org', 'yes@x.org', 'later@x.org');
  t.match(sent, {
    outcome: 'sent',
    undelivered: [
      { address: 'no@x.org', error: /550/, retryable: false },
      { address: 'later@x.org', error: /450/, retryable: true },
    ],
  });
  t.same(server.arrived[0]?.recipients, ['yes@x.org']);
});

t.test('a mail that is refused or put off as a whole', async (t) => {
  const codes: [code: number, outcome: string][] = [
    [451, 'unreachable'],
    [452, 'unreachable'],
    [421, 'unreachable'],
    [552, 'rejected'],
    [554, 'rejected'],
  ];
  for (const [code, outcome] of codes) {
    const afterData = await smtpServer(t, {
      onData: (stream, _session, done) => stream.resume().on('end', () => done(refusal(code, 'what it says'))),
    });
    const error = new RegExp(`^SMTP: ${code} what it says`);
    const config = smtpConfig(afterData.port, plain);
    t.match(await channel(afterData.port).send(message(), config), { outcome, error }, `${code} after the data`);
    const atSender = await smtpServer(t, { onMailFrom: (_address, _session, done) => done(refusal(code, 'no')) });
    const other = smtpConfig(atSender.port, plain);
    t.match(await channel(atSender.port).send(message(), other), { outcome }, `${code} at the sender`);
  }
  const small = await smtpServer(t, { size: 500 });
  t.match(await channel(small.port).send(message({ content: 'x'.repeat(1_000) }), smtpConfig(small.port, plain)), {
    outcome: 'rejected',
  });
});

t.test('a server that says nothing, and one that stops in the middle', async (t) => {
  const silent = await rawServer(t, () => {});
  const door = channel(silent.port, { checkTimeoutMs: 100 });
  const sent = await door.send(message(), smtpConfig(silent.port, plain), { timeoutMs: 100 });
  t.same(sent, { outcome: 'unreachable', error: 'SMTP: no answer within 100 ms' });
  await silent.gone;
  t.match(await door.check(smtpConfig(silent.port, plain), 'a@example.com'), { valid: false });

  const hung = await smtpServer(t, { onData: (stream) => void stream.resume() });
  const late = await channel(hung.port).send(message(), smtpConfig(hung.port, plain), { timeoutMs: 300 });
  t.same(late, { outcome: 'unreachable', error: 'SMTP: no answer within 300 ms' });
  await hung.idle();

  const babbling = await rawServer(t, (socket) => {
    const more = (): void => {
      while (!socket.destroyed && socket.write('220-x\r\n'));
    };
    socket.on('drain', more);
    more();
  });
  const endless = await channel(babbling.port).send(message(), smtpConfig(babbling.port, plain), {
    timeoutMs: TIMEOUT_MS,
  });
  t.match(endless, { outcome: 'unreachable' }, 'a reply without end is not read to its end');
  await babbling.gone;
});

t.test('a connection that breaks, wherever it does', async (t) => {
  for (const at of ['connect', 'EHLO', 'AUTH', 'MAIL', 'DATA', 'body']) {
    let inData = false;
    const server = await rawServer(t, (socket) => {
      inData = false;
      if (at === 'connect') socket.destroy();
      else socket.write('220 ready\r\n');
      socket.on('data', (chunk) => {
        for (const line of chunk.toString('latin1').split('\r\n').slice(0, -1)) {
          if (inData ? at === 'body' : line.startsWith(at)) socket.destroy();
          if (inData || socket.destroyed) continue;
          if (line.startsWith('EHLO')) socket.write('250-x\r\n250 AUTH PLAIN\r\n');
          else if (line.startsWith('AUTH')) socket.write('235 fine\r\n');
          else if (line === 'DATA') {
            inData = true;
            socket.write('354 go on\r\n');
          } else socket.write('250 fine\r\n');
        }
      });
    });
    const config = smtpConfig(server.port, plain);
    const sent = await channel(server.port).send(message(), config, { timeoutMs: TIMEOUT_MS });
    t.same(sent, { outcome: 'unreachable', error: 'SMTP: connection lost' }, at);
  }
  const { port } = await rawServer(t, (socket) => socket.destroy());
  const nobody = await rawServer(t, () => {});
  const closed = smtp({
    guard: { connect: () => openGuard().connect({ host: '127.0.0.1', port: 1 }) },
    allowedPorts: [port, nobody.port],
  });
  t.same(await closed.send(message(), smtpConfig(port, plain)), {
    outcome: 'unreachable',
    error: 'SMTP: connection refused',
  });
});

t.test('what a tenant may not name', async (t) => {
  const server = await smtpServer(t);
  const guard = outboundGuard({ resolve: async () => ['127.0.0.1'] });
  const config = smtpConfig(server.port, plain);
  const door = channel(server.port, { guard });
  t.same(await door.send(message(), config), { outcome: 'rejected', error: 'SMTP: the host is not allowed' });
  const checked = await door.check(config, 'a@example.com');
  const nobody = await rawServer(t, () => {});
  const silent = await channel(nobody.port, { checkTimeoutMs: 50 }).check(
    smtpConfig(nobody.port, plain),
    'a@b.example',
  );
  t.same(checked, silent, 'a check does not tell a forbidden host from one that is silent');
  const elsewhere = smtp({ guard: openGuard() });
  t.match(await elsewhere.send(message(), config), { outcome: 'rejected', error: /port is not allowed/ });
  t.match(await elsewhere.check(config, 'a@example.com'), { valid: false, error: /port is not allowed/ });
  t.equal(server.connections(), 0);
});

t.test('no text ends a line of an envelope or a header', async (t) => {
  const server = await smtpServer(t);
  const door = channel(server.port);
  const config = smtpConfig(server.port, plain);
  const evil = [
    'x\r\nBcc: evil@example.org',
    'x\nRCPT TO:<evil@example.org>',
    'x\rX-Evil: 1',
    'x\u0000',
    'x\u2028y',
    '\r\n',
  ];
  for (const text of evil) {
    const mails = [
      message({ subject: text }),
      message({ from: { address: 'a@example.com', name: `a${text}b` } }),
      message({ from: { address: `${text}@example.com` } }),
      message({ to: [`${text}@example.com`] }),
      message({ to: [`a@example.com${text}`] }),
      message({ cc: [`a@example.com>${text}`] }),
      message({ bcc: ['b@example.org', `${text}@example.com`] }),
      message({ replyTo: `a@example.com${text}` }),
      message({ id: `id${text}` }),
    ];
    for (const [i, mail] of mails.entries())
      t.match(await door.send(mail, config), { outcome: 'rejected' }, `place ${i}`);
  }
  for (const address of ['', 'x', '@x', 'x@', 'a@b@c', 'a b@c', 'a,b@c.d', '<a@b.c>', 'a@b.c>', '"a"@b.c', 'a@b c']) {
    t.match(await door.send(message({ to: [address] }), config), { outcome: 'rejected' }, address);
  }
  t.match(await door.send(message({ to: [] }), config), { outcome: 'rejected', error: /no recipient/ });
  t.equal(server.connections(), 0, 'nothing was connected to for any of them');
});

t.test('a check logs in and sends nothing', async (t) => {
  const server = await starttls(t);
  const door = channel(server.port, { ca: [ca.cert] });
  t.same(await door.check(smtpConfig(server.port), 'a@example.com'), { valid: true });
  t.match(server.logins, [{ username: 'user', secure: true }]);
  t.same(server.arrived, []);
  await server.idle();
  const refusing = await smtpServer(t, { onConnect: (_session, done) => done(refusal(554, 'secret-banner no')) });
  const found = await channel(refusing.port).check(smtpConfig(refusing.port, plain), 'a@example.com');
  t.match(found, { valid: false, error: /could not be reached there/ });
  t.notMatch(JSON.stringify(found), /secret-banner|554|ECONN/);
});

t.test('many at once', async (t) => {
  const server = await smtpServer(t);
  const door = channel(server.port);
  const endings = await Promise.all(
    Array.from({ length: 50 }, (_, i) => door.send(message({ id: `id-${i}` }), smtpConfig(server.port, plain))),
  );
  t.ok(endings.every(({ outcome }) => outcome === 'sent'));
  t.equal(new Set(server.arrived.map(({ mail }) => mail.messageId)).size, 50);
  t.equal(server.logins.every(({ username }) => username === 'user') && PASSWORD.length > 0, true);
  await server.idle();
});
