/** The thread that signs and posts does what a poster in the caller's own thread does. */
import { Webhook } from 'standardwebhooks';
import t from 'tap';
import { OwnPoster, postingThread } from '../../../src/delivery/index.ts';
import { type Poster, postTarget } from '../../../src/delivery/webhooks/poster.ts';
import { outboundGuard } from '../../../src/platform/outbound-guard.ts';
import { receiver } from './receiver.ts';

const secret = `whsec_${Buffer.alloc(24, 5).toString('base64')}`;
const allowCidrs = ['127.0.0.0/8'];
const attemptTimeoutMs = 5_000;
const body = (text: string) => JSON.stringify({ id: 'evt_1', data: { message: 1, text } });

const posters: Readonly<Record<string, () => Poster>> = {
  'in its own thread': () => postingThread({ allowCidrs, proxy: null, attemptTimeoutMs }),
  "in the caller's": () => new OwnPoster({ guard: outboundGuard({ allowCidrs }), attemptTimeoutMs }),
};

for (const [where, start] of Object.entries(posters)) {
  t.test(`a poster ${where}`, async (t) => {
    const poster = start();
    t.teardown(() => poster.close());
    const target = await receiver(t, ({ path }) => Number(path.slice(1, 4)));
    const at = Math.floor(Date.now() / 1_000);
    const to = (path: string, headers = {}) => postTarget(`${new URL(target.url).origin}${path}`, headers, secret);
    const post = (path: string, headers = {}, text = 'Grüße 🌍') =>
      poster.post({ target: to(path, headers), id: `evt_${path}`, atS: at + 0.5, body: body(text) });

    const statuses = Array.from({ length: 40 }, (_, i) => [200, 204, 302, 410, 503][i % 5] as number);
    const answers = await Promise.all(
      statuses.map((status, i) => post(`/${status}/${i}?q=1`, { 'X-Nth': String(i), 'Webhook-Id': 'mine' })),
    );
    t.same(
      answers,
      statuses.map((status) => ({ status, error: status < 300 ? null : `HTTP_${status}` })),
      'each has its own answer',
    );
    const verifier = new Webhook(secret);
    for (const got of target.got) {
      const nth = Number(got.path.split(/[/?]/)[2]);
      t.equal(got.headers['x-nth'], String(nth), "the owner's headers go along");
      t.equal(got.headers['webhook-id'], `evt_${got.path}`, 'and do not take the place of ours');
      t.equal(got.body.data.text, 'Grüße 🌍');
      t.doesNotThrow(() => verifier.verify(got.raw, got.headers as Record<string, string>), 'what comes is signed');
    }

    t.match(await poster.post({ target: postTarget('http://10.0.0.1/', {}, secret), id: 'e', atS: at, body: '{}' }), {
      status: null,
      error: 'TARGET_NOT_ALLOWED',
    });
    t.match(
      await post('/200', { 'x-broken': 'a\nb' }),
      { status: null, error: /^UND_ERR|NETWORK/ },
      'no header can be slipped in',
    );

    let asked = () => {};
    const reached = new Promise<void>((resolve) => {
      asked = resolve;
    });
    target.answer = () => {
      asked();
      return undefined;
    };
    const open = post('/200/silent');
    await reached;
    await poster.close();
    t.same(await open, { status: null, error: 'CLOSED' }, 'what is under way at the end was none');
    t.same(await post('/200/late'), { status: null, error: 'CLOSED' }, 'and what comes after it');
    await poster.close();
  });
}
