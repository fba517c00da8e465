import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import type { Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { buildSdk } from '../../../src/sdk/build.ts';
import type { MessageJSClient, SendParams } from '../../../src/sdk/messagejs/public.d.ts';
import { launchChromium, needsChromium } from '../../support/chromium.ts';
import { installPacked } from '../packed.ts';
import { type Answer, accepted, type ScriptedServer, startServer } from '../server.ts';
import { startSite } from '../site.ts';

const browserFile = (await buildSdk()).browserFiles['messagejs.js'] as string;
const script = await readFile(browserFile);

t.test('the browser build is a classic script, and every build is under 20 KB gzipped', async (t) => {
  t.notMatch(script.toString(), /\b(import|require|export)\b/);
  for (const file of ['messagejs.js', 'index.mjs', 'index.cjs', 'node.cjs']) {
    const { length } = gzipSync(await readFile(join(dirname(browserFile), file)));
    t.ok(length > 0 && length < 20_000, `${file}: ${length} bytes`);
  }
});

const params: SendParams = {
  to: '+1234567890',
  connectorId: 'conn_1',
  templateId: 'tpl_1',
  variables: { name: 'Jöhn ✓' },
};
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** A host that Chromium does not trust over plain http, unlike 127.0.0.1: a page of it is no secure context. */
const insecureHost = 'insecure.test';

t.test('in Chromium', needsChromium(), async (t) => {
  const browser = await launchChromium([`--host-resolver-rules=MAP ${insecureHost} 127.0.0.1`]);
  t.teardown(() => browser.close());

  /** A page of one origin that has the SDK, and the API on another one. */
  async function setUp(t: Test, answers: Answer[], head: Head = scriptTag, host = '127.0.0.1') {
    const api = await startServer(t, answers);
    const sitePort = await startSite(t, head.tag, head.sdk);
    const page = await browser.newPage();
    t.teardown(() => page.close());
    await page.goto(`http://${host}:${sitePort}/`);
    await page.waitForFunction(() => 'messagejs' in globalThis);
    return { api, page, siteOrigin: `http://${host}:${sitePort}`, baseUrl: `http://${host}:${api.port}/api/v1` };
  }

  t.test('script tag: a cross-origin send with its preflight', async (t) => {
    const { api, page, siteOrigin, baseUrl } = await setUp(t, [{ status: 503 }, accepted]);
    t.same(await sendFrom(page, baseUrl, 1), accepted.body);
    t.match(api.preflights[0], {
      path: '/api/v1/messages',
      headers: {
        origin: siteOrigin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type,idempotency-key',
      },
    });
    checkSends(t, api);
  });

  t.test('script tag: what goes wrong arrives as a MessageJSError', async (t) => {
    const tooLong: Answer = {
      status: 429,
      body: { error: 'Too fast', code: 'RATE_LIMIT_EXCEEDED' },
      headers: { 'Retry-After': '61' },
    };
    const { api, page, baseUrl } = await setUp(t, [tooLong, { failure: 'drop' }]);
    t.match(await sendFrom(page, baseUrl, 3), {
      message: 'Too fast',
      code: 'RATE_LIMIT_EXCEEDED',
      status: 429,
      ours: true,
    });
    t.equal(api.requests.length, 1, 'Retry-After is read through CORS, and found too long');
    t.match(await sendFrom(page, baseUrl, 0), { code: 'NETWORK_ERROR', ours: true, cause: 'TypeError' });
  });

  t.test('script tag in an insecure page, where randomUUID is missing', async (t) => {
    const { api, page, baseUrl } = await setUp(t, [{ status: 503 }, accepted], scriptTag, insecureHost);
    t.same(await page.evaluate(() => [isSecureContext, typeof crypto.randomUUID]), [false, 'undefined']);
    t.same(await sendFrom(page, baseUrl, 1), accepted.body);
    checkSends(t, api);
  });

  t.test('a module bundled from the installed package', async (t) => {
    const { folder } = await installPacked(t, ['@messagejs/client', 'messagejs-client']);
    const entry = join(folder, 'app.js');
    await writeFile(
      entry,
      `import { messagejs, MessageJSError } from 'messagejs-client';
       globalThis.messagejs = { ...messagejs, MessageJSError };`,
    );
    const bundle = await build({
      entryPoints: [entry],
      bundle: true,
      format: 'esm',
      platform: 'browser',
      write: false,
    });
    const head: Head = { tag: '<script type="module" src="/sdk.js"></script>', sdk: bundle.outputFiles[0]!.contents };
    const { api, page, baseUrl } = await setUp(t, [{ status: 503 }, accepted], head);
    t.same(await sendFrom(page, baseUrl, 1), accepted.body);
    checkSends(t, api);
  });
});

interface Head {
  readonly tag: string;
  readonly sdk: Uint8Array;
}

const scriptTag: Head = { tag: '<script src="/sdk.js"></script>', sdk: script };

type BrowserGlobal = {
  messagejs: MessageJSClient & { MessageJSError: new () => Error & { code: string; status: number } };
};

/** One send inside the page: the result, or the error in a form that can leave the page. */
async function sendFrom(page: Page, baseUrl: string, retries: number): Promise<unknown> {
  return await page.evaluate(
    async ([config, params]) => {
      const { messagejs } = globalThis as unknown as BrowserGlobal;
      messagejs.init(config);
      try {
        return await messagejs.sendMessage(params);
      } catch (error) {
        const ours = error instanceof messagejs.MessageJSError;
        const { message, code, status, cause } = error as Error & { code: string; status: number };
        return { ours, message, code, status, cause: (cause as Error | undefined)?.name };
      }
    },
    [{ apiKey: 'pk_live_1', baseUrl, retries }, params] as const,
  );
}

/** The server saw two attempts of one send, whole. */
function checkSends(t: Test, { requests }: ScriptedServer): void {
  t.equal(requests.length, 2);
  for (const { headers, body } of requests) {
    t.equal(headers.authorization, 'Bearer pk_live_1');
    t.match(headers['idempotency-key'], uuid);
    t.same(JSON.parse(body), params);
  }
  t.equal(requests[0]?.headers['idempotency-key'], requests[1]?.headers['idempotency-key']);
}
