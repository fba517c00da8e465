/** Images of users: `POST /api/users/upload`, and where they are shown. */
import { createHash, randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { startParley } from '../../../src/wiring/index.ts';
import { issueMasterKey } from '../../../src/wiring/operations.ts';
import { until } from '../../support/until.ts';
import { type Document, Judge } from '../fuzz.ts';
import { type Product, startProduct } from '../harness.ts';

const begins = {
  png: Buffer.from('89504e470d0a1a0a', 'hex'),
  jpg: Buffer.from('ffd8ffe0', 'hex'),
  gif: Buffer.from('GIF89a'),
  webp: Buffer.concat([Buffer.from('RIFF'), Buffer.alloc(4), Buffer.from('WEBP')]),
};
const mediaTypes = { png: 'image/png', jpg: 'image/jpeg', gif: 'image/gif', webp: 'image/webp' } as const;

/** An image that nobody else has. */
const image = (kind: keyof typeof begins = 'png', bytes = 100) => Buffer.concat([begins[kind], randomBytes(bytes)]);
const nameOf = (bytes: Buffer, kind = 'png') => `${createHash('sha256').update(bytes).digest('hex')}.${kind}`;

const formOf = (bytes: Buffer, field = 'image', file: string | undefined = 'me.txt') => {
  const form = new FormData();
  form.append(field, new Blob([new Uint8Array(bytes)], { type: 'text/html' }), file);
  return form;
};

interface Asked {
  readonly token?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: FormData | string;
  readonly at?: string;
}

/** The largest image of these tests. */
const limit = 2_048;

/** The product, and its users; every answer is held against the document. */
async function start(t: Test) {
  const product = await startProduct(t, 'company', { COMPANY_UPLOAD_LIMIT_BYTES: String(limit) });
  const { url } = product;
  const document = (await (await fetch(`${url}/openapi/company.json`)).json()) as Document;
  const judge = new Judge(document, []);
  const ask = async (method: string, path: string, { token, headers, body, at = url }: Asked = {}) => {
    const response = await fetch(`${at}/api${path}`, {
      method,
      headers: { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...headers },
      ...(body !== undefined && { body }),
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    const template = `/api${path}`.replace(/\/uploads\/.*$/, '/uploads/{file_name}');
    const request = { method, template, path, headers: {}, body: undefined };
    const type = response.headers.get('content-type');
    const problem = judge.judge(request, response.status, type, bytes.toString());
    if (problem !== null) throw new Error(`${method} ${path}: ${problem}`);
    const json = type?.startsWith('application/json') ? (JSON.parse(bytes.toString()) as unknown) : null;
    return { status: response.status, headers: response.headers, bytes, json };
  };
  const post = (path: string, body: object) =>
    ask('POST', path, { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });
  const user = async (name: string) => {
    const email = `${name}@mail.com`;
    const made = await post('/users', { user: { name, subname: 'Doe', email, job: 'CEO', password: 'secret' } });
    const login = await post('/login', { creds: { email, password: 'secret' } });
    const { token } = (login.json as { data: { token: string } }).data;
    return { id: (made.json as { id: number }).id, email, token };
  };
  const upload = (token: string | undefined, bytes: Buffer) =>
    ask('POST', '/users/upload', { token, body: formOf(bytes) });
  const show = (token: string | undefined, name: string, asked: Asked = {}) =>
    ask('GET', `/uploads/${name}`, { ...asked, token });
  return { product, document, ask, user, upload, show };
}

/** Resolves when no more files are stored than these, named by their bytes. */
async function untilStored(product: Product, wanted: readonly Buffer[]): Promise<void> {
  const digests = wanted.map((bytes) => createHash('sha256').update(bytes).digest('hex')).sort();
  await until(async () => {
    const rows = await product.sql("SELECT encode(digest, 'hex') AS digest FROM work.files ORDER BY 1");
    return JSON.stringify(rows.map(({ digest }) => digest)) === JSON.stringify(digests);
  });
}

t.test('images of users', async (t) => {
  const world = await start(t);

  await t.test('an image is uploaded, shown, replaced and erased with its owner', async (t) => {
    const { product, user, upload, show } = world;
    const [ann, bob] = [await user('ann'), await user('bob')];
    for (const kind of ['gif', 'webp', 'jpg', 'png'] as const) {
      const bytes = image(kind);
      const done = await upload(ann.token, bytes);
      t.equal(done.status, 200);
      t.ok(Number(done.headers.get('x-parley-position')) > 0);
      const { image: made } = done.json as { image: { file_name: string; updated_at: string } };
      t.same(Object.keys(made), ['file_name', 'updated_at']);
      t.equal(made.file_name, nameOf(bytes, kind));
      t.match(made.updated_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/);
      const shown = await show(ann.token, made.file_name);
      t.same([shown.status, shown.bytes], [200, bytes]);
      t.equal(shown.headers.get('content-type'), mediaTypes[kind], 'by its first bytes, whatever the client said');
      t.equal(shown.headers.get('x-content-type-options'), 'nosniff');
      t.equal(shown.headers.get('cache-control'), 'private, no-cache');
    }

    const first = image();
    await upload(ann.token, first);
    const known = await show(bob.token, nameOf(first));
    t.equal(known.status, 200, 'users see each other');
    const etag = known.headers.get('etag') ?? '';
    const again = await show(bob.token, nameOf(first), { headers: { 'if-none-match': `"x", W/${etag}` } });
    t.same([again.status, again.bytes.length], [304, 0]);
    t.equal((await show(undefined, nameOf(first))).status, 401);
    t.equal((await show(bob.token, nameOf(first, 'gif'))).status, 404, 'under its own name alone');
    for (const none of ['x', nameOf(image()), `${'0'.repeat(64)}.toString`, '..%2F..%2Fetc'])
      t.same((await show(bob.token, none)).json, { errors: { detail: 'Not Found' } });

    const theirs = image();
    await upload(bob.token, theirs);
    t.equal((await show(ann.token, nameOf(first))).status, 200, "another's token changes nothing of one's own");
    const second = image();
    await upload(ann.token, second);
    t.equal((await show(ann.token, nameOf(first))).status, 404, 'what was replaced is gone at once');
    await untilStored(product, [theirs, second]);
    await upload(bob.token, second);
    await untilStored(product, [second, second]);

    // The log has a number: neither bytes nor names.
    const told = (await product.history()).filter(({ type }) => type === 'ProfileChanged').map(({ data }) => data);
    t.notOk(JSON.stringify(told).includes(nameOf(second).slice(0, 64)));

    const master = await issueMasterKey(product.config);
    const found = await product.post('/users/login', { email: ann.email }, master);
    t.equal((await product.del(`/users/${found.str('data.user.id')}`, master)).status, 204);
    t.equal((await upload(ann.token, image())).status, 401);
    t.equal((await show(bob.token, nameOf(second))).status, 200, 'the same image of somebody else stays');
    await untilStored(product, [second]);
    const last = await product.post('/users/login', { email: bob.email }, master);
    t.equal((await product.del(`/users/${last.str('data.user.id')}`, master)).status, 204);
    const carol = await user('carol');
    t.equal((await show(carol.token, nameOf(second))).status, 404, 'erased at once');
    await untilStored(product, []);
  });

  await t.test('every process shows it, and uploads at the same time leave one', async (t) => {
    const { product, user, upload, show } = world;
    const other = await startParley(product.config, { sandbox: false, env: {} });
    t.teardown(() => other.close());
    const eve = await user('eve');
    const bytes = image();
    const position = (await upload(eve.token, bytes)).headers.get('x-parley-position') ?? '';
    const asked = { at: other.url, headers: { 'x-parley-position': position } };
    const shown = await show(eve.token, nameOf(bytes), asked);
    t.same([shown.status, shown.bytes], [200, bytes]);

    const images = Array.from({ length: 6 }, () => image());
    const done = await Promise.all(images.map((each) => upload(eve.token, each)));
    t.ok(done.every(({ status }) => status === 200));
    const standing: Buffer[] = [];
    for (const each of images) if ((await show(eve.token, nameOf(each))).status === 200) standing.push(each);
    t.equal(standing.length, 1);
    await untilStored(product, standing);
    t.equal((await show(eve.token, nameOf(standing[0] as Buffer))).status, 200);
  });

  await t.test('what is refused, and leaves nothing', async (t) => {
    const { product, document, ask, user, upload } = world;
    const dan = await user('dan');
    const stored = () => product.sql('SELECT file FROM work.files ORDER BY file');
    const before = await stored();
    t.same((await upload(undefined, image())).json, { message: 'unauthenticated' });
    t.same((await upload('x', image())).json, { message: 'invalid_token' });

    const blank = { errors: { image: ["can't be blank"] } };
    const invalid = { errors: { image: ['is invalid'] } };
    const text = new FormData();
    text.append('image', 'GIF89a');
    const twice = formOf(image());
    twice.append('image', new Blob([new Uint8Array(image())]), 'b.png');
    const typed = (type: string) => ({ 'content-type': type });
    const malformed = { errors: { detail: 'Bad Request' } };
    const tooLarge = { errors: { detail: 'Payload Too Large' } };
    const unsupported = { errors: { detail: 'Unsupported Media Type' } };
    const refusals: [string, Asked, number, unknown][] = [
      ['another field', { body: formOf(image(), 'picture') }, 422, blank],
      ['nothing in it', { body: formOf(Buffer.alloc(0)) }, 422, blank],
      ['no body', {}, 422, blank],
      ['a text', { body: text }, 422, invalid],
      ['two', { body: twice }, 422, invalid],
      ['no image', { body: formOf(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')) }, 422, invalid],
      ['half a beginning', { body: formOf(begins.png.subarray(0, 7)) }, 422, invalid],
      ['too large', { body: formOf(image('png', limit)) }, 413, tooLarge],
      ['far too large', { body: formOf(image('png', 100_000)) }, 413, tooLarge],
      ['no boundary', { body: 'x', headers: typed('multipart/form-data') }, 400, malformed],
      ['no form', { body: 'x', headers: typed('multipart/form-data; boundary=x') }, 400, malformed],
      ['JSON', { body: '[{"name":"image"}]', headers: typed('application/json') }, 415, unsupported],
      ['bytes alone', { body: 'GIF89a', headers: typed('image/gif') }, 415, unsupported],
    ];
    for (const [what, asked, status, body] of refusals) {
      const answer = await ask('POST', '/users/upload', { ...asked, token: dan.token });
      t.same([answer.status, answer.json], [status, body], what);
    }
    for (let i = 0; i < 4; i++) {
      const answer = await upload(dan.token, image('png', 20_000_000));
      t.same([answer.status, answer.json], [413, tooLarge], 'told also to who still writes');
    }
    t.same(await stored(), before, 'nothing was stored');
    const exact = image('png', limit - begins.png.length);
    t.equal((await upload(dan.token, exact)).status, 200, 'as large as may be');
    const form = { body: formOf(image()), token: dan.token };
    t.equal((await ask('POST', '/login', form)).status, 415, 'other routes take no forms');

    const operation = document.paths['/api/users/upload']?.post;
    t.same(Object.keys(operation?.requestBody?.content ?? {}), ['multipart/form-data']);
    const shown = document.paths['/api/uploads/{file_name}']?.get?.responses['200']?.content ?? {};
    t.same(Object.keys(shown), ['image/png', 'image/jpeg', 'image/gif', 'image/webp']);
  });
});
