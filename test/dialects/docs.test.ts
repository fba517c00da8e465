import t from 'tap';
import { launchChromium, needsChromium } from '../support/chromium.ts';
import { alpha, beta, testHost } from './host.ts';

t.test('the pages and what they load', async (t) => {
  const { url } = await testHost(t, { dialects: [alpha(), beta()] });
  for (const path of ['/docs', '/docs/', '/redoc']) {
    const page = await fetch(url + path);
    t.equal(page.status, 200, path);
    t.match(page.headers.get('content-type'), /^text\/html/);
    t.match(page.headers.get('content-security-policy'), /default-src 'none'; script-src 'self';/);
    const assets = [...(await page.text()).matchAll(/(?:src|href)="([^"]+)"/g)].map(([, asset = '']) => asset);
    t.ok(assets.length > 3);
    for (const asset of assets) {
      t.match(asset, /^\//, 'of this host');
      const answer = await fetch(url + asset);
      t.equal(answer.status, 200, asset);
      await answer.body?.cancel();
    }
  }
  for (const [path, to] of [
    ['/api-docs', '/docs'],
    ['/api-docs/json', '/openapi.json'],
  ] as const) {
    const alias = await fetch(url + path, { redirect: 'manual' });
    t.equal(alias.headers.get('location'), to);
  }
  for (const path of ['/docs/assets/package.json', '/docs/assets/..%2f..%2fpackage.json', '/openapi/gamma.json']) {
    t.equal((await fetch(url + path)).status, 404, path);
  }
});

/** A page that counts on nothing beyond its host: every request and everything that goes wrong is noted. */
t.test('rendered by a browser, without any request off the host', needsChromium(), async (t) => {
  const { url } = await testHost(t, { dialects: [alpha(), beta()] });
  const browser = await launchChromium();
  t.teardown(() => browser.close());
  const context = await browser.newContext();
  const foreign: string[] = [];
  const errors: string[] = [];
  // What the pages bring along is checked by their policy before it is a request: a violation is an error on the console.
  await context.route('**/*', (route) => {
    const asked = route.request().url();
    if (asked.startsWith(`${url}/`)) return route.continue();
    foreign.push(asked);
    return route.abort();
  });
  const page = await context.newPage();
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (line) => line.type() === 'error' && errors.push(line.text()));

  await page.goto(`${url}/docs`);
  await page.getByText('Make a thing').waitFor();
  t.equal(await page.locator('.opblock').count(), 3, 'every operation of the first document');
  await page.getByLabel('Select a definition').selectOption({ label: 'All APIs' });
  await page.getByText('/other/things/{name}').waitFor();
  t.equal(await page.locator('.opblock').count(), 4, 'and of all');
  await page.getByLabel('Select a definition').selectOption({ label: 'Alpha' });
  await page.locator('.opblock-get', { hasText: 'A thing' }).locator('button').first().click();
  await page.getByRole('button', { name: 'Try it out' }).click();
  await page.getByPlaceholder('id').fill('42');
  await page.getByRole('button', { name: 'Execute' }).click();
  await page.locator('.live-responses-table', { hasText: '"id": "42"' }).waitFor();

  await page.goto(`${url}/redoc`);
  await page.getByRole('heading', { name: 'Make a thing' }).waitFor();
  await page.getByRole('heading', { name: 'Forget a thing' }).waitFor();
  await page.getByLabel('Document').selectOption({ label: 'Beta' });
  await page.getByRole('heading', { name: 'Beta' }).waitFor();
  t.match(page.url(), /\?document=%2Fopenapi%2Fbeta\.json$/, 'a link leads to the document');

  t.strictSame(foreign, []);
  t.strictSame(errors, []);
});
