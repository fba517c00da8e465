import { hash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { readForm } from '../../src/dialects/multipart.ts';

const type = 'multipart/form-data; boundary=edge';
const body = (...lines: string[]) => Buffer.from(lines.join('\r\n'), 'latin1');
const named = (name: string) => `Content-Disposition: form-data; name="${name}"`;

t.test('what clients send is read as it was meant', async (t) => {
  const field = fc.record({
    name: fc.constantFrom('image', 'Image', 'a b', 'é'),
    isFile: fc.boolean(),
    bytes: fc.uint8Array({ maxLength: 200 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(field, { minLength: 1, maxLength: 8 }), async (fields) => {
      const form = new FormData();
      for (const { name, isFile, bytes } of fields) {
        if (isFile) form.append(name, new Blob([bytes]), 'x".png');
        else form.append(name, hash('sha1', bytes));
      }
      const sent = new Response(form);
      const read = readForm(sent.headers.get('content-type') ?? '', Buffer.from(await sent.arrayBuffer()));
      const wanted = fields.map(({ name, isFile, bytes }) => {
        return { name, isFile, bytes: isFile ? Buffer.from(bytes) : Buffer.from(hash('sha1', bytes)) };
      });
      t.same(read, wanted);
    }),
    { numRuns: 50 },
  );
});

t.test('other spellings of a form', async (t) => {
  const one = (bytes: string, isFile = true) => [{ name: 'image', isFile, bytes: Buffer.from(bytes) }];
  const file = `${named('image')}; filename="a.png"`;
  const spelled: [string, Buffer, unknown][] = [
    [
      'a length and an encoding',
      body('--edge', file, 'Content-Length: 2', 'Content-Transfer-Encoding: binary', '', 'xy', '--edge--'),
      one('xy'),
    ],
    [
      'in other cases',
      body('--edge', 'CONTENT-disposition:FORM-DATA; name=image; FileName=a', '', 'xy', '--edge--'),
      one('xy'),
    ],
    ['an extended name', body('--edge', `${named('image')}; filename*=UTF-8''a`, '', 'xy', '--edge--', ''), one('xy')],
    ['blanks, a preamble and an epilogue', body('hello', '--edge \t', file, '', 'xy', '--edge--', 'bye'), one('xy')],
    ['nothing in it', body('--edge', named('image'), '', '', '--edge--'), one('', false)],
    ['dashes in it', body('--edge', named('image'), '', '--ed', '--edg--', '--edge--'), one('--ed\r\n--edg--', false)],
    ['no field at all', body('--edge--'), []],
  ];
  for (const [what, form, wanted] of spelled) t.same(readForm(type, form), wanted, what);
  t.same(readForm('multipart/form-data; charset=utf-8; Boundary="a b"', body('--a b--')), [], 'a boundary in quotes');
});

t.test('what is no form, or too much of one', async (t) => {
  const part = (name: string) => ['--edge', named(name), '', ''];
  const many = (count: number) => body(...Array.from({ length: count }, () => part('a')).flat(), '--edge--');
  t.equal(readForm(type, many(32))?.length, 32);
  const refused: [string, string, Buffer][] = [
    ['no boundary', 'multipart/form-data', body('--edge--')],
    ['another boundary', 'multipart/form-data; boundary=other', body('--edge--')],
    ['nothing', type, body('')],
    ['no end', type, body('--edge', named('a'), '', 'x')],
    ['no headers', type, body('--edge', '', 'x', '--edge--')],
    ['no name', type, body('--edge', 'Content-Disposition: form-data; filename="a"', '', 'x', '--edge--')],
    ['an attachment', type, body('--edge', 'Content-Disposition: attachment; name="a"', '', 'x', '--edge--')],
    ['a longer delimiter', type, body('--edges', named('a'), '', 'x', '--edge--')],
    ['33 fields', type, many(33)],
    ['long headers', type, body('--edge', named('a'), `X: ${'x'.repeat(8_192)}`, '', 'x', '--edge--')],
  ];
  for (const [what, contentType, form] of refused) t.equal(readForm(contentType, form), null, what);
});
