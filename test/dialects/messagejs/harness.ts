/**
 * The whole product in process, on a database of the test's own: log, commands, projector, delivery, the providers'
 * emulations, HTTP. Every JSON answer that a test gets is held against the dialect's own document.
 */
import { randomBytes } from 'node:crypto';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import pg from 'pg';
import type { Test } from 'tap';
import type { RecordedEvent } from '../../../schemas/index.ts';
import type { Tier } from '../../../src/commands/index.ts';
import { type Config, loadConfig } from '../../../src/platform/config.ts';
import { type Parley, startParley } from '../../../src/wiring/index.ts';
import { openLog } from '../../../src/wiring/log.ts';
import { tier } from '../../../src/wiring/operations.ts';
import { startProxy, type TcpProxy } from '../../conformance/log/proxy.ts';
import { testDatabase } from '../../support/postgres.ts';
import { type Stack, stackOfRun, stackVariables } from '../../support/stack.ts';

/** An answer. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The body as JSON; null where there is none. */
  readonly body: unknown;
  readonly text: string;
  /** What stands in the body under a path such as `user.id` or `keys.0.name`; undefined for nothing. */
  at(path: string): unknown;
  /** The same as a text. */
  str(path: string): string;
}

/** A request. */
export interface Ask {
  /** Bearer credential. */
  readonly as?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  /** A value is sent as JSON, a text as it is. */
  readonly body?: unknown;
  readonly contentType?: string;
}

/** A registered user. */
export interface User {
  readonly id: string;
  readonly email: string;
  readonly password: string;
  readonly token: string;
  readonly refreshToken: string;
}

/** A project ready to send: a key, a connector, a template. */
export interface Ground {
  readonly user: User;
  readonly projectId: string;
  readonly keyId: string;
  readonly key: string;
  readonly connectorId: string;
  readonly templateId: string;
}

/** Credentials that the emulations take, by type of connector. */
export const credentials = {
  whatsapp: { phoneNumberId: '106540352242922', accessToken: 'EAAG-test-token' },
  telegram: { botToken: '123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11' },
  twilio: { accountSid: `AC${'0'.repeat(32)}`, authToken: 'f'.repeat(32), fromNumber: '+15005550006' },
} as const;

const base = '/api/v1';

/** The running product, and short ways to ask it. */
export interface Harness {
  readonly url: string;
  readonly sandboxUrl: string;
  readonly databaseUrl: string;
  /** The way to the database, which can be cut. */
  readonly way: TcpProxy;
  /** Asks a route below `/api/v1`. */
  call(method: string, path: string, ask?: Ask): Promise<Answer>;
  get(path: string, as?: string): Promise<Answer>;
  post(path: string, body?: unknown, as?: string): Promise<Answer>;
  put(path: string, body?: unknown, as?: string): Promise<Answer>;
  del(path: string, as?: string): Promise<Answer>;
  /** Registers somebody new. */
  user(email?: string): Promise<User>;
  /** A project of somebody new, or of `user`, with what a send needs. */
  ground(of?: { user?: User; type?: keyof typeof credentials; content?: string }): Promise<Ground>;
  /** Changes how the providers' emulations behave. */
  behave(change: object): Promise<void>;
  /** Runs a statement on the database. */
  sql(text: string, values?: readonly unknown[]): Promise<readonly Readonly<Record<string, unknown>>[]>;
  /** Everything that stands in the log, in order. */
  history(): Promise<readonly RecordedEvent[]>;
  /** Events of a type in the log. */
  events(type: string): Promise<number>;
  /** What `parley tier` does, beside the running server. */
  tier(email: string, level: Tier): Promise<void>;
  /** Resolves when the message has got to a status; the answer shows it. */
  status(message: string, status: string, as: string): Promise<Answer>;
}

/** Starts it all, with these variables beside the ones every test has; stopped when the test ends. */
export async function startHarness(
  test: Test,
  env: Readonly<Record<string, string>> = {},
  stack: Stack = stackOfRun(),
): Promise<Harness> {
  const variables = await stackVariables(test, stack);
  if (variables === null) throw new Error(`${stack} cannot be run here`);
  const { url: databaseUrl } = await testDatabase(test);
  const direct = new URL(databaseUrl);
  const way = await startProxy(test, { host: direct.hostname, port: Number(direct.port) });
  const proxied = new URL(databaseUrl);
  proxied.host = `${way.address.host}:${way.address.port}`;
  const config = loadConfig({
    DATABASE_URL: proxied.href,
    JWT_SECRET: secrets.jwt,
    ENCRYPTION_KEY: randomBytes(32).toString('hex'),
    ID_KEY: randomBytes(32).toString('hex'),
    PORT: '0',
    HOST: '127.0.0.1',
    LOG_LEVEL: 'fatal',
    SHUTDOWN_TIMEOUT: '1s',
    AUTH_RATE_LIMIT_POINTS: '0',
    DASHBOARD_RATE_LIMIT_FREE: '0',
    WHATSAPP_RATE_PER_SECOND: '0',
    ...variables,
    ...env,
  });
  const parley = await startParley(config, { sandbox: true, env: {} });
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 2 });
  pool.on('error', () => {});
  test.teardown(async () => {
    await pool.end();
    await parley.close();
  });
  return harnessOf({ parley, config, pool, databaseUrl, way }, await documentChecks(parley.url));
}

/** Known to tests that forge tokens. */
export const secrets = { jwt: 'a secret of thirty-two characters or more' };

type Checks = (method: string, path: string, status: number, type: string, body: unknown) => void;

interface Running {
  readonly parley: Parley;
  readonly config: Config;
  readonly pool: pg.Pool;
  readonly databaseUrl: string;
  readonly way: TcpProxy;
}

function harnessOf({ parley, config, pool, databaseUrl, way }: Running, check: Checks): Harness {
  let people = 0;
  const call: Harness['call'] = async (method, path, { as, headers = {}, body, contentType } = {}) => {
    const isText = typeof body === 'string' || body instanceof Buffer;
    const response = await fetch(`${parley.url}${base}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        ...(as !== undefined && { authorization: `Bearer ${as}` }),
        ...(body !== undefined && { 'content-type': contentType ?? 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: isText ? (body as string) : JSON.stringify(body) }),
    });
    const text = await response.text();
    const type = response.headers.get('content-type')?.split(';')[0] ?? '';
    const json: unknown = type === 'application/json' ? JSON.parse(text) : null;
    check(method, path, response.status, type, json);
    const at = (where: string) => where.split('.').reduce(inside, json);
    const { status } = response;
    return { status, headers: response.headers, body: json, text, at, str: (where) => String(at(where)) };
  };
  const created = async (path: string, body: unknown, as?: string) => {
    const answer = await call('POST', path, { as, body });
    if (answer.status !== 201) throw new Error(`${path}: ${answer.text}`);
    return answer;
  };
  const harness: Harness = {
    url: parley.url,
    sandboxUrl: parley.sandboxUrl as string,
    databaseUrl,
    way,
    call,
    get: (path, as) => call('GET', path, { as }),
    post: (path, body, as) => call('POST', path, { body, as }),
    put: (path, body, as) => call('PUT', path, { body, as }),
    del: (path, as) => call('DELETE', path, { as }),
    async user(email = `person${++people}@example.com`) {
      const password = 'SecurePassword123!';
      const answer = await created('/auth/register', { email, password, name: 'John Doe' });
      const { str } = answer;
      return { id: str('user.id'), email, password, token: str('token'), refreshToken: str('refreshToken') };
    },
    async ground({ user, type = 'whatsapp', content = 'Hello {{name}}!' } = {}) {
      const owner = user ?? (await harness.user());
      const made = (path: string, body: unknown) => created(path, body, owner.token);
      const projectId = (await made('/projects', { name: 'My Awesome Project' })).str('id');
      const key = await made(`/projects/${projectId}/keys`, {});
      const connector = await made(`/projects/${projectId}/connectors`, { type, credentials: credentials[type] });
      const template = await made(`/projects/${projectId}/templates`, {
        name: 'Welcome',
        connectorType: type,
        content,
      });
      return {
        user: owner,
        projectId,
        keyId: key.str('id'),
        key: key.str('key'),
        connectorId: connector.str('id'),
        templateId: template.str('id'),
      };
    },
    async behave(change) {
      const response = await fetch(`${parley.sandboxUrl}/sandbox/behaviour`, {
        method: 'PUT',
        body: JSON.stringify(change),
      });
      if (response.status !== 200) throw new Error(await response.text());
    },
    sql: async (text, values = []) => (await pool.query(text, [...values])).rows,
    history: () => wholeLog({ ...config, storage: { ...config.storage, databaseUrl } }, databaseUrl),
    async events(type) {
      return (await harness.history()).filter((event) => event.type === type).length;
    },
    tier: (email, level) => tier(config, email, level),
    async status(message, status, as) {
      for (const until = Date.now() + 20_000; ; ) {
        const answer = await call('GET', `/messages/${message}`, { as });
        if (answer.at('status') === status) return answer;
        if (Date.now() > until) throw new Error(`still not ${status}: ${answer.text}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
  };
  return harness;
}

/** Reads the log beside the server. */
async function wholeLog(config: Config, url: string): Promise<readonly RecordedEvent[]> {
  const { log, close } = await openLog({ config, url });
  try {
    const events: RecordedEvent[] = [];
    for (let from = 0n; ; ) {
      const page = await log.page(from, 1_000);
      events.push(...page.events);
      if (page.atHead) return events;
      from = page.position;
    }
  } finally {
    await close();
  }
}

function inside(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

interface Operation {
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, { schema: object }>> }>>;
}

/** Throws for an answer that the document does not have: its status, or its body by the schema of that status. */
async function documentChecks(url: string): Promise<Checks> {
  const response = await fetch(`${url}/openapi/messagejs.json`);
  const document = (await response.json()) as {
    paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
    components: object;
  };
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  const compiled = new Map<object, ValidateFunction>();
  const paths = Object.keys(document.paths)
    .sort((a, b) => a.split('{').length - b.split('{').length)
    .map((path) => ({ path, pattern: new RegExp(`^${path.replace(/\{[^}]+\}/g, '[^/]+')}/?$`) }));
  return (method, path, status, type, body) => {
    const plain = base + (path.split('?')[0] ?? '');
    const found = paths.find(({ pattern }) => pattern.test(plain));
    const operation = found && document.paths[found.path]?.[method.toLowerCase()];
    if (!operation) return;
    const answer = operation.responses[status];
    if (!answer) throw new Error(`${method} ${found.path}: ${status} is not in the document`);
    const schema = answer.content?.[type]?.schema;
    if (!schema && type !== '') throw new Error(`${method} ${found.path}: no ${type} with ${status} in the document`);
    if (!schema || type !== 'application/json') return;
    let validate = compiled.get(schema);
    if (!validate) {
      validate = ajv.compile({ ...schema, components: document.components });
      compiled.set(schema, validate);
    }
    if (!validate(body)) {
      const problems = ajv.errorsText(validate.errors);
      throw new Error(`${method} ${found.path} ${status}: ${problems}\n${JSON.stringify(body)}`);
    }
  };
}
