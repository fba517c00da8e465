/** The browser build, as a real server offers it, in a real browser: a page of another origin talks to the product. */
import t from 'tap';
import type { ChatAPI as ChatAPIClass } from '../../../src/sdk/chatapi/public.d.ts';
import { startHarness } from '../../dialects/chatapi/harness.ts';
import { launchChromium, needsChromium } from '../../support/chromium.ts';
import { startSite } from '../site.ts';

type BrowserGlobal = { ChatAPI: typeof ChatAPIClass; ChatAPIError: new () => Error & { code: string } };

t.test('in Chromium', needsChromium(), async (t) => {
  const product = await startHarness(t);
  const client = await product.client();
  const [ann, ben] = [await product.user(client, 'ann'), await product.user(client, 'ben')];
  const room = await product.room(ann.key);
  await product.post(`/rooms/${room}/join`, {}, ben.key);
  const browser = await launchChromium();
  t.teardown(() => browser.close());
  const page = await browser.newPage();
  const port = await startSite(t, `<script src="${product.url}/v1/chatapi.js"></script>`);
  await page.goto(`http://127.0.0.1:${port}/`);
  const baseUrl = `${product.url}/api/v1`;

  const outcome = await page.evaluate(
    async ([baseUrl, key, room]) => {
      const { ChatAPI, ChatAPIError } = globalThis as unknown as BrowserGlobal;
      const chat = new ChatAPI(key, { baseUrl, consistentReads: true });
      const socket = chat.connect();
      const { user_id } = await socket.opened();
      const told = new Promise((resolve) => {
        socket.on('message', ({ content }, { room_id }) => resolve([content, room_id]));
      });
      const { id } = await chat.messages.send({ room_id: room, content: 'Jöhn ✓' });
      const { data } = await chat.messages.list({ room_id: room });
      const error = await chat.users.list().then(
        () => null,
        (error: unknown) => error,
      );
      const refused = error instanceof ChatAPIError && error.code;
      return { user_id, told: await told, isListed: data[0]?.id === id, refused, position: chat.position };
    },
    [baseUrl, ann.key, room] as const,
  );
  t.match(outcome, {
    user_id: ann.id,
    told: ['Jöhn ✓', room],
    isListed: true,
    refused: 'INSUFFICIENT_PERMISSIONS',
    position: /^\d+$/,
  });
});
