/** The whole product, asked as ChatAPI; see `../harness.ts`. */
import type { Test } from 'tap';
import { type Answer, type Product, startProduct } from '../harness.ts';

export type { Answer } from '../harness.ts';

/** A registered client. */
export interface Client {
  readonly id: string;
  /** Its master key. */
  readonly key: string;
}

/** A user of a client. */
export interface User {
  readonly id: string;
  readonly email: string;
  /** Its scoped key. */
  readonly key: string;
}

/** The running product, and short ways to ask it. */
export interface Harness extends Product {
  client(name?: string): Promise<Client>;
  user(of: Client, name?: string): Promise<User>;
  /** A room of somebody, by a key; its id. */
  room(key: string, body?: object): Promise<string>;
  /** A message in a room, by a key; its id. */
  message(key: string, room: string, content?: string, more?: object): Promise<string>;
}

/** Starts it all, with these variables beside the ones every test has; stopped when the test ends. */
export async function startHarness(test: Test, env: Readonly<Record<string, string>> = {}): Promise<Harness> {
  return harnessOf(await startProduct(test, 'chatapi', { CHATAPI_AUTH_RATE_LIMIT: '0', ...env }));
}

/** The fields that a 422 names, in its order. */
export function wrongFields({ body }: Pick<Answer, 'body'>): readonly string[] {
  const { status_code: status, errors = [] } = body as { status_code?: number; errors?: readonly { field: string }[] };
  return status === 422 ? errors.map(({ field }) => field) : [];
}

/** The short ways of a product. */
export function harnessOf(product: Product): Harness {
  const { created } = product;
  let people = 0;
  return {
    ...product,
    async client(name = 'Acme') {
      const { str } = await created('/clients', { name });
      return { id: str('data.id'), key: str('data.master_api_key') };
    },
    async user(of, name = `person${++people}`) {
      const email = `${name}@example.com`;
      const { str } = await created('/users', { email, username: name, full_name: `The ${name}` }, of.key);
      return { id: str('data.id'), email, key: str('data.scoped_api_key') };
    },
    room: async (key, body = { name: 'A room' }) => (await created('/rooms', body, key)).str('data.id'),
    message: async (key, room, content = 'Hello', more = {}) =>
      (await created('/messages', { room_id: room, content, ...more }, key)).str('data.id'),
  };
}
