/**
 * Generated requests against the whole product, sandbox and all: no 5xx but those that the design names, and no answer
 * outside the document. `PARLEY_TEST_SEED` repeats a run, `PARLEY_TEST_FUZZ` sets the requests per operation.
 */
import t from 'tap';
import { loadConfig } from '../../src/platform/config.ts';
import { startParley } from '../../src/wiring/index.ts';
import { testDatabase } from '../support/postgres.ts';
import type { Document, Ground } from './fuzz.ts';
import { fuzz } from './fuzz-run.ts';

const secret = '0123456789abcdef'.repeat(4);

async function json<T>(base: string, path: string, token: string, body: unknown): Promise<T> {
  const response = await fetch(`${base}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

t.test('MessageJS answers as its document says', async (t) => {
  const { url } = await testDatabase(t);
  const off = Object.fromEntries(
    ['KEY_RATE_LIMIT_FREE', 'DASHBOARD_RATE_LIMIT_FREE', 'QUOTA_FREE', 'AUTH_RATE_LIMIT_POINTS'].map((name) => [
      name,
      '0',
    ]),
  );
  const config = loadConfig({
    ...off,
    DATABASE_URL: url,
    JWT_SECRET: secret,
    ENCRYPTION_KEY: secret,
    ID_KEY: secret,
    PORT: '0',
    HOST: '127.0.0.1',
    LOG_LEVEL: 'silent',
    DEFAULT_RATE_LIMIT: '1000000',
  });
  const parley = await startParley(config, { sandbox: true, env: {} });
  t.teardown(() => parley.close());
  const base = `http://127.0.0.1:${parley.port}`;
  const document = (await (await fetch(`${base}/openapi/messagejs.json`)).json()) as Document;
  const ground = await prepare(base, document);
  // What is deleted, and who has logged out, is not there for the others: that comes last.
  await fuzz(t, document, ground, { order: destroys, allowed: [502, 503] });
});

function destroys({ path, method }: { path: string; method: string }): number {
  return method === 'delete' ? (path.split('/').length > 6 ? 1 : 2) : path.endsWith('/logout') ? 3 : 0;
}

/** A user with a project and everything in it, and another user's, so that requests get past the first checks. */
async function prepare(base: string, document: Document): Promise<Ground> {
  const register = (email: string) =>
    json<{ token: string; refreshToken: string; user: { id: string } }>(base, '/api/v1/auth/register', '', {
      email,
      password: 'correct horse',
    });
  const me = await register('me@example.com');
  const other = await register('other@example.com');
  const known: Record<string, string[]> = {
    email: ['me@example.com', 'other@example.com'],
    refreshToken: [me.refreshToken],
  };
  const note = (name: string, value: string) => {
    known[name] = [...(known[name] ?? []), value];
  };
  let key = '';
  for (const { token } of [me, other]) {
    {
      const project = await json<{ id: string }>(base, '/api/v1/projects', token, { name: 'Project' });
      const home = `/api/v1/projects/${project.id}`;
      note('projectId', project.id);
      // Of the other user only the project is known: what is in it is not to be had anyhow.
      if (token === other.token) continue;
      const issued = await json<{ id: string; key: string }>(base, `${home}/keys`, token, {});
      note('keyId', issued.id);
      key ||= issued.key;
      for (const type of ['telegram', 'whatsapp', 'twilio']) {
        const credentials =
          type === 'telegram'
            ? { botToken: '123456:abcdef' }
            : type === 'whatsapp'
              ? { phoneNumberId: '123456', accessToken: 'EAAG123' }
              : { accountSid: `AC${'0'.repeat(32)}`, authToken: '1'.repeat(32), fromNumber: '+15551234567' };
        const connector = await json<{ id: string }>(base, `${home}/connectors`, token, {
          type,
          name: type,
          credentials,
        });
        const template = await json<{ id: string }>(base, `${home}/templates`, token, {
          name: 'Template',
          connectorType: type,
          content: 'Hello {{name}}',
        });
        note('connectorId', connector.id);
        note('templateId', template.id);
      }
    }
  }
  note('to', '+15551234567');
  note('to', '424242');
  const sent = await json<{ messageId: string }>(base, '/api/v1/messages', key, {
    to: '+15551234567',
    connectorId: known.connectorId?.[1],
    templateId: known.templateId?.[1],
    variables: { name: 'Ada' },
  });
  note('messageId', sent.messageId);
  for (const name of ['from', 'to']) note(name, '2026-01-01');
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  const credentials: Record<string, Record<string, string>[]> = {};
  for (const scheme of schemesOf(document)) {
    if (/key/i.test(scheme)) credentials[scheme] = [bearer(key)];
    else if (/cookie/i.test(scheme)) credentials[scheme] = [{ cookie: `authToken=${me.token}` }];
    else credentials[scheme] = [bearer(me.token), bearer(me.token), bearer(other.token)];
  }
  return { base, credentials, known };
}

function schemesOf(document: Document): string[] {
  const operations = Object.values(document.paths).flatMap((item) => Object.values(item));
  return [...new Set(operations.flatMap(({ security }) => (security ?? []).flatMap((scheme) => Object.keys(scheme))))];
}
