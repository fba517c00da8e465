import fc from 'fast-check';
import t from 'tap';
import { asciiMailbox, mailbox, messageIdOf, plainText, ready } from '../../../src/delivery/email/message.ts';
import { message } from './world.ts';

t.test('every recipient is named once, where it was named first', (t) => {
  const mail = ready(
    message({ to: ['a@x.org', 'A@X.org', 'b@x.org'], cc: ['b@x.org', 'c@x.org'], bcc: ['C@x.org', 'd@x.org'] }),
  );
  t.match(mail, { to: ['a@x.org', 'b@x.org'], cc: ['c@x.org'], bcc: ['d@x.org'] });
  t.end();
});

t.test('domains in other letters travel in ASCII', (t) => {
  const mail = ready(message({ to: ['post@bücher.example'], from: { address: 'a@bücher.example' } }));
  t.match(mail, { to: ['post@xn--bcher-kva.example'] });
  const id = 'problem' in mail ? mail.problem : messageIdOf(mail);
  t.equal(id, '<0b5a7c1e-7f0a-4a39-9d8e-1f5f7a1b2c3d@xn--bcher-kva.example>');
  t.match(ready(message({ to: [`a@${'x'.repeat(400)}.org`] })), { problem: /recipient/ });
  t.end();
});

t.test('the sender as a header has it', (t) => {
  const address = 'a@b.example';
  t.equal(mailbox({ address, name: 'Parley' }), '"Parley" <a@b.example>');
  t.equal(mailbox({ address, name: 'a "b" \\ c' }), '"a \\"b\\" \\\\ c" <a@b.example>');
  t.equal(mailbox({ address, name: null }), address);
  t.equal(asciiMailbox({ address, name: 'Parley' }), '"Parley" <a@b.example>');
  const words = asciiMailbox({ address, name: 'Grüße 👋 '.repeat(20) });
  t.match(words, /^[\x20-\x7e]*$/);
  const encoded = words.split(' ').slice(0, -1);
  t.ok(encoded.every((word) => word.length <= 75 && /^=\?UTF-8\?B\?[A-Za-z0-9+/=]+\?=$/.test(word)));
  const decoded = encoded.map((word) => Buffer.from(word.slice(10, -2), 'base64').toString('utf8')).join('');
  t.equal(decoded, 'Grüße 👋 '.repeat(20), 'no character is split');
  t.end();
});

t.test('whatever is given, no header can hold a line break', (t) => {
  const text = fc.string({ unit: 'binary', maxLength: 30 });
  fc.assert(
    fc.property(text, text, text, text, (name, subject, local, domain) => {
      const mail = ready(message({ from: { address: 'a@b.example', name }, subject, to: [`${local}@${domain}`] }));
      if ('problem' in mail) return;
      for (const line of [mailbox(mail.from), asciiMailbox(mail.from), mail.subject, ...mail.to, messageIdOf(mail)]) {
        if (/[\r\n\u0000]/.test(line)) throw new Error(JSON.stringify(line));
      }
      if (/[\s,;<>]/.test(mail.to[0] ?? '')) throw new Error(JSON.stringify(mail.to));
    }),
  );
  t.pass('held');
  t.end();
});

t.test('the text of an HTML content', (t) => {
  const cases: [html: string, text: string][] = [
    ['', ''],
    ['plain', 'plain'],
    ['<p>a</p><p>b</p>', 'a\n\nb'],
    ['a<br>b<br/>c<BR >d', 'a\nb\nc\nd'],
    ['<ul><li>one</li><li>two</li></ul>', 'one\n\ntwo'],
    ['<script>if (a < b) alert("x")</script>text<style>p > a {}</style>', 'text'],
    ['<head><title>no</title></head><body>yes</body>', 'yes'],
    ['a <!-- no > no --> b', 'a  b'],
    ['a <!-- never ends', 'a'],
    [
      '3 < 5 &amp;&amp; 5 &gt; 3 &quot;&apos;&#228;&#x1F44B;&nope;&#0;&#xD800;',
      '3 < 5 && 5 > 3 "\'ä👋&nope;&#0;&#xD800;',
    ],
    ['<a href="https://x.example/?a=1&amp;b=2">go</a>', 'go (https://x.example/?a=1&b=2)'],
    ["<a class='x' href='mailto:a@b.example'>write</a>", 'write (mailto:a@b.example)'],
    ['<a href="javascript:alert(1)">no</a><a name=x>anchor</a>', 'noanchor'],
    ['<b>un<i>closed', 'unclosed'],
    ['a <unclosed', 'a'],
    ['x\r\n   y\t z', 'x y z'],
    ['<tr><td>1</td><td>2</td></tr>', '1 2'],
  ];
  for (const [html, text] of cases) t.equal(plainText(html).replace(/ +/g, ' '), text.replace(/ +/g, ' '), html);
  t.end();
});

t.test('any content gives a text, in one pass', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (html) => {
      plainText(html);
      plainText(`<${html}>`);
    }),
  );
  const long = 1_000_000;
  for (const piece of ['<', '<!--', '<a href=', '&', '<script>', '</', '<a ', '\n', '<p>', '&#']) {
    const text = plainText(piece.repeat(long / piece.length));
    t.ok(text.length <= long, piece);
  }
  t.end();
});
