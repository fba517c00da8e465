/** The whole product in process, asked as Company's clients ask it; every answer is held against the dialect's document. */
import { once } from 'node:events';
import type { Test } from 'tap';
import { WebSocket } from 'ws';
import { type Parley, startParley } from '../../../src/wiring/index.ts';
import { freshly } from '../../support/fresh.ts';
import { testDatabase } from '../../support/postgres.ts';
import { stackVariables } from '../../support/stack.ts';
import { stackOfRun } from '../../support/stacks.ts';
import { testConfig } from '../config.ts';
import { type Document, Judge } from '../fuzz.ts';

/** An answer. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

/** A registered and logged-in user. */
export interface User {
  readonly id: number;
  readonly email: string;
  readonly password: string;
  readonly token: string;
}

export interface Harness {
  readonly parley: Parley;
  readonly url: string;
  readonly document: Document;
  /** Asks a route below `/api`. A text is sent as it is, anything else as JSON. */
  call(method: string, path: string, body?: unknown, token?: string, headers?: Record<string, string>): Promise<Answer>;
  /** Registers somebody and logs in. */
  user(name?: string): Promise<User>;
  /** A conversation of the first with the second. */
  conversation(from: User, to: User): Promise<number>;
  /** Opens a socket without a stock client. */
  socket(token: string, query?: string): Promise<Peer>;
}

/** Starts it all; stopped when the test ends. */
export async function startHarness(test: Test, env: Readonly<Record<string, string>> = {}): Promise<Harness> {
  const variables = await stackVariables(test, stackOfRun());
  if (variables === null) throw new Error('this stack cannot be run here');
  const { url: databaseUrl } = await testDatabase(test);
  const config = testConfig(databaseUrl, { ...variables, ...env });
  const parley = await startParley(config, { sandbox: false, env: {} });
  test.teardown(() => parley.close());
  const document = (await (await fetch(`${parley.url}/openapi/company.json`)).json()) as Document;
  return harnessOf(test, parley, document);
}

function harnessOf(test: Test, parley: Parley, document: Document): Harness {
  const judge = new Judge(document, [503]);
  let people = 0;
  const harness: Harness = {
    parley,
    url: parley.url,
    document,
    async call(method, path, body, token, headers = {}) {
      const init: RequestInit = {
        method,
        headers: {
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      };
      const ask = () => fetch(`${parley.url}/api${path}`, init);
      const response = method === 'GET' ? await freshly(ask) : await ask();
      const text = await response.text();
      const template = `/api${path.split('?')[0] ?? ''}`.replace(/\/$/, '').replace(/\/users\/[^/]+$/, '/users/{id}');
      if (document.paths[template]?.[method.toLowerCase()]) {
        const request = { method, template, path, headers: {}, body: undefined };
        const problem = judge.judge(request, response.status, response.headers.get('content-type'), text);
        if (problem !== null) throw new Error(`${method} ${path}: ${problem}: ${text}`);
      }
      return { status: response.status, headers: response.headers, body: text === '' ? null : JSON.parse(text) };
    },
    async user(name = 'John') {
      const email = `${name.toLowerCase()}${++people}@mail.com`;
      const made = await harness.call('POST', '/users', { user: { name, subname: 'Doe', email, job: 'CEO' } });
      const { id, password } = made.body as { id: number; password: string };
      const login = await harness.call('POST', '/login', { creds: { email, password } });
      if (login.status !== 200) throw new Error(`${email} cannot log in: ${login.status}`);
      const { token } = (login.body as { data: { token: string } }).data;
      return { id, email, password, token };
    },
    async conversation(from, to) {
      const made = await harness.call('POST', '/conversations', { recipient: to.id }, from.token);
      return (made.body as { id: number }).id;
    },
    async socket(token, query = '') {
      const ws = new WebSocket(`${parley.url.replace('http', 'ws')}/socket/websocket?token=${token}${query}`);
      test.teardown(() => ws.terminate());
      const peer = new Peer(ws);
      await once(ws, 'open');
      return peer;
    },
  };
  return harness;
}

/** A socket that speaks frames as a test writes them. */
export class Peer {
  readonly ws: WebSocket;
  /** Resolves with the code of the close. */
  readonly closed: Promise<number>;
  readonly #frames: unknown[] = [];
  readonly #waiting: ((frame: unknown) => void)[] = [];

  constructor(ws: WebSocket) {
    this.ws = ws;
    this.closed = new Promise((resolve) => ws.on('close', resolve));
    ws.on('error', () => {});
    ws.on('message', (data) => {
      const frame: unknown = JSON.parse(String(data));
      const first = this.#waiting.shift();
      if (first) first(frame);
      else this.#frames.push(frame);
    });
  }

  /** Sends a frame; a text as it is. */
  send(frame: unknown): void {
    this.ws.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  }

  /** The next frame. */
  next(): Promise<unknown> {
    const frame = this.#frames.shift();
    return frame === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(frame);
  }

  /** Sends a frame and resolves with what comes next. */
  ask(frame: unknown): Promise<unknown> {
    this.send(frame);
    return this.next();
  }

  /** Joins, in version 1. */
  join(): Promise<unknown> {
    return this.ask({ topic: 'room:chat', event: 'phx_join', payload: {}, ref: '1' });
  }

  /** Sends a message, in version 1, and resolves when it was handled: what is sent takes turns. */
  async say(user: unknown, conv: unknown, message: unknown): Promise<unknown> {
    this.send({ topic: 'room:chat', event: 'send_msg', payload: { user, conv, message }, ref: 'm' });
    return this.ask({ topic: 'room:none', event: 'ask', payload: {}, ref: 'behind' });
  }
}

/** Answer to `say`'s question: nothing was said about the message before it. */
export const nothingSaid = {
  topic: 'room:none',
  event: 'phx_reply',
  payload: { status: 'error', response: { reason: 'unmatched topic' } },
  ref: 'behind',
};
