/**
 * The whole product in process, on a database of the test's own: log, commands, projector, delivery, the providers'
 * emulations, HTTP. Every JSON answer that a test gets is held against the document of the dialect that it speaks.
 */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import pg from 'pg';
import type { Test } from 'tap';
import type { RecordedEvent } from '../../schemas/index.ts';
import type { Config } from '../../src/platform/config.ts';
import { type Parley, startParley } from '../../src/wiring/index.ts';
import { openLog } from '../../src/wiring/log.ts';
import { startProxy, type TcpProxy } from '../conformance/log/proxy.ts';
import { freshly } from '../support/fresh.ts';
import { testDatabase } from '../support/postgres.ts';
import { stackVariables } from '../support/stack.ts';
import { type Stack, stackOfRun } from '../support/stacks.ts';
import { jwtSecret, testConfig } from './config.ts';

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
  /** A stale answer is taken. */
  readonly asItIs?: boolean;
}

const base = '/api/v1';

/** The running product, and short ways to ask it. */
export interface Product {
  readonly url: string;
  readonly sandboxUrl: string;
  readonly databaseUrl: string;
  readonly config: Config;
  /** The way to the database, which can be cut. */
  readonly way: TcpProxy;
  /** Asks a route below `/api/v1`. */
  call(method: string, path: string, ask?: Ask): Promise<Answer>;
  get(path: string, as?: string): Promise<Answer>;
  post(path: string, body?: unknown, as?: string): Promise<Answer>;
  put(path: string, body?: unknown, as?: string): Promise<Answer>;
  del(path: string, as?: string): Promise<Answer>;
  /** What was created. Rejects with the answer of anything but 201. */
  created(path: string, body: unknown, as?: string): Promise<Answer>;
  /** Changes how the providers' emulations behave. */
  behave(change: object): Promise<void>;
  /** Runs a statement on the database. */
  sql(text: string, values?: readonly unknown[]): Promise<readonly Readonly<Record<string, unknown>>[]>;
  /** Everything that stands in the log, in order. */
  history(): Promise<readonly RecordedEvent[]>;
  /** Events of a type in the log. */
  events(type: string): Promise<number>;
  /** Stops it, and starts it anew, at another address, on the same data. */
  restart(): Promise<Product>;
}

/** Starts it all, with these variables beside the ones every test has; stopped when the test ends. */
export async function startProduct(
  test: Test,
  dialect: string,
  env: Readonly<Record<string, string>> = {},
  stack: Stack = stackOfRun(),
): Promise<Product> {
  const variables = await stackVariables(test, stack);
  if (variables === null) throw new Error(`${stack} cannot be run here`);
  const { url: databaseUrl } = await testDatabase(test);
  const direct = new URL(databaseUrl);
  const way = await startProxy(test, { host: direct.hostname, port: Number(direct.port) });
  const proxied = new URL(databaseUrl);
  proxied.host = `${way.address.host}:${way.address.port}`;
  const config = testConfig(proxied.href, {
    AUTH_RATE_LIMIT_POINTS: '0',
    DASHBOARD_RATE_LIMIT_FREE: '0',
    WHATSAPP_RATE_PER_SECOND: '0',
    ...variables,
    ...env,
  });
  const start = async () => {
    const parley = await startParley(config, { sandbox: true, env: {} });
    test.teardown(() => parley.close());
    return parley;
  };
  const parley = await start();
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 2 });
  pool.on('error', () => {});
  test.teardown(() => pool.end());
  return productOf({ parley, start, config, pool, databaseUrl, way }, await documentChecks(parley.url, dialect));
}

/** Known to tests that forge tokens. */
export const secrets = { jwt: jwtSecret };

type Checks = (method: string, path: string, status: number, type: string, body: unknown) => void;

interface Running {
  readonly parley: Parley;
  /** Starts another one, which is stopped when the test ends. */
  readonly start: () => Promise<Parley>;
  readonly config: Config;
  readonly pool: pg.Pool;
  readonly databaseUrl: string;
  readonly way: TcpProxy;
}

function productOf(running: Running, check: Checks): Product {
  const { parley, start, config, pool, databaseUrl, way } = running;
  const call: Product['call'] = async (method, path, { as, headers = {}, body, contentType, asItIs } = {}) => {
    const isText = typeof body === 'string' || body instanceof Buffer;
    const init: RequestInit = {
      method,
      redirect: 'manual',
      headers: {
        ...(as !== undefined && { authorization: `Bearer ${as}` }),
        ...(body !== undefined && { 'content-type': contentType ?? 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: isText ? (body as string) : JSON.stringify(body) }),
    };
    const ask = () => fetch(`${parley.url}${base}${path}`, init);
    const response = method === 'GET' && !asItIs ? await freshly(ask) : await ask();
    const text = await response.text();
    const type = response.headers.get('content-type')?.split(';')[0] ?? '';
    const json: unknown = type === 'application/json' ? JSON.parse(text) : null;
    check(method, path, response.status, type, json);
    const at = (where: string) => where.split('.').reduce(inside, json);
    const { status } = response;
    return { status, headers: response.headers, body: json, text, at, str: (where) => String(at(where)) };
  };
  const created: Product['created'] = async (path, body, as) => {
    const answer = await call('POST', path, { as, body });
    if (answer.status !== 201) throw new Error(`${path}: ${answer.text}`);
    return answer;
  };
  const product: Product = {
    url: parley.url,
    sandboxUrl: parley.sandboxUrl as string,
    databaseUrl,
    config,
    way,
    call,
    created,
    get: (path, as) => call('GET', path, { as }),
    post: (path, body, as) => call('POST', path, { body, as }),
    put: (path, body, as) => call('PUT', path, { body, as }),
    del: (path, as) => call('DELETE', path, { as }),
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
      return (await product.history()).filter((event) => event.type === type).length;
    },
    async restart() {
      await parley.close();
      return productOf({ ...running, parley: await start() }, check);
    },
  };
  return product;
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
async function documentChecks(url: string, dialect: string): Promise<Checks> {
  const response = await fetch(`${url}/openapi/${dialect}.json`);
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
