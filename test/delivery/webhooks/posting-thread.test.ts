/** The thread that posts does what a poster in the caller's own thread does. */
import type { ServerResponse } from 'node:http';
import { Webhook } from 'standardwebhooks';
import t from 'tap';
import { OwnPoster, postingThread } from '../../../src/delivery/index.ts';
import { type Poster, postTarget } from '../../../src/delivery/webhooks/poster.ts';
import { signer } from '../../../src/delivery/webhooks/signature.ts';
import { outboundGuard } from '../../../src/platform/outbound-guard.ts';
import { receiver } from './receiver.ts';

const secret = `whsec_${Buffer.alloc(24, 5).toString('base64')}`;
const allowCidrs = ['127.0.0.0/8'];
const attemptTimeoutMs = 5_000;
const body = (text: string) => JSON.stringify({ id: 'evt_1', data: { message: 1, text } });

const signed = (id: string, text: string) => ({ proof: signer(secret).sign(id, Date.now(), text), body: text });

const posters: Readonly<Record<string, () => Poster>> = {
  'in its own thread': () => postingThread({ allowCidrs, proxy: null, attemptTimeoutMs }),
  "in the caller's": () => new OwnPoster({ guard: outboundGuard({ allowCidrs }), attemptTimeoutMs }),
};

for (const [where, start] of Object.entries(posters)) {
  t.test(`a poster ${where}`, async (t) => {
    const poster = start();
    t.teardown(() => poster.close());
    const target = await receiver(t, ({ path }) => Number(path.slice(1, 4)));
    const to = (path: string, headers = {}) => postTarget(`${new URL(target.url).origin}${path}`, headers);
    const post = (path: string, headers = {}, text = 'Grüße 🌍') =>
      poster.post({ target: to(path, headers), ...signed(`evt_${path}`, body(text)), most: 1 });

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

    const forbidden = postTarget('http://10.0.0.1/', {});
    t.match(await poster.post({ target: forbidden, ...signed('e', '{}'), most: 1 }), {
      status: null,
      error: 'TARGET_NOT_ALLOWED',
    });
    t.match(
      await post('/200', { 'x-broken': 'a\nb' }),
      { status: null, error: /^UND_ERR|NETWORK/ },
      'no header can be slipped in',
    );

    const held: ServerResponse[] = [];
    target.answer = (_, response) => {
      held.push(response);
      return undefined;
    };
    const answer = (status: number) => held.shift()?.writeHead(status).end();
    const one = to('/200/line');
    const line = (count: number) =>
      Array.from({ length: count }, (_, i) =>
        poster.post({ target: one, ...signed(`evt_${i}`, body(`${i}`)), most: 2 }),
      );
    const before = target.got.length;
    const [first, second, third, fourth] = line(4);
    await target.count(before + 2);
    answer(200);
    t.same(await first, { status: 200, error: null });
    await target.count(before + 3);
    t.equal(target.got.at(-1)?.body.data.text, '2', 'the next in line follows a success');
    answer(503);
    t.same(await second, { status: 503, error: 'HTTP_503' });
    t.same(await fourth, { status: null, error: 'CLOSED' }, 'with a failure the line comes back');
    answer(200);
    t.same(await third, { status: 200, error: null }, 'and what is under way goes on');
    const again = line(4);
    await target.count(before + 5);
    poster.recall();
    t.same(
      await Promise.all(again.slice(2)),
      [2, 3].map(() => ({ status: null, error: 'CLOSED' })),
      'also when told',
    );
    answer(200);
    answer(200);
    t.same(
      await Promise.all(again.slice(0, 2)),
      [0, 1].map(() => ({ status: 200, error: null })),
    );
    t.equal(target.got.length, before + 5, 'none of them was begun');

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
