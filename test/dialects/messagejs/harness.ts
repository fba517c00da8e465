/** The whole product, asked as MessageJS; see `../harness.ts`. */
import type { Test } from 'tap';
import type { Tier } from '../../../src/commands/index.ts';
import { tier } from '../../../src/wiring/operations.ts';
import type { Stack } from '../../support/stacks.ts';
import { type Answer, type Product, startProduct } from '../harness.ts';

export { type Answer, type Ask, secrets } from '../harness.ts';

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

/** The running product, and short ways to ask it. */
export interface Harness extends Product {
  /** Registers somebody new. */
  user(email?: string): Promise<User>;
  /** A project of somebody new, or of `user`, with what a send needs. */
  ground(of?: { user?: User; type?: keyof typeof credentials; content?: string }): Promise<Ground>;
  /** What `parley tier` does, beside the running server. */
  tier(email: string, level: Tier): Promise<void>;
  /** Resolves when the message has got to a status; the answer shows it. */
  status(message: string, status: string, as: string): Promise<Answer>;
}

/** Starts it all, with these variables beside the ones every test has; stopped when the test ends. */
export async function startHarness(
  test: Test,
  env: Readonly<Record<string, string>> = {},
  stack?: Stack,
): Promise<Harness> {
  const product = await startProduct(test, 'messagejs', env, stack);
  const { created, call, config } = product;
  let people = 0;
  const harness: Harness = {
    ...product,
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
