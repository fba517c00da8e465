/** What a sender needs, made through the API as anybody would. */
import { randomBytes } from 'node:crypto';
import { keyMark } from '../load-job.ts';

/** Above every rate that a benchmark can reach. */
export const enough = 1_000_000_000;

/**
 * The limits that a benchmark raises. They are raised and not switched off, so that counting against them is part of
 * what is measured; but for the provider's pace, which would hold the dispatcher below the fixed rate.
 */
export const raisedLimits: Readonly<Record<string, string>> = {
  KEY_RATE_LIMIT_FREE: String(enough),
  QUOTA_FREE: String(enough),
  WHATSAPP_RATE_PER_SECOND: '0',
};

/** The user `bench`, with a project, and in it all that a send names. */
export interface Sender {
  readonly apiKey: string;
  readonly connectorId: string;
  readonly templateId: string;
}

const variables = { name: 'Ada Lovelace', code: '493021', minutes: 10 };
const content =
  'Hello {{name}}, your code is {{code}}. It is valid for {{minutes}} minutes; do not pass it on to anybody.';

/** Registers a user and makes a project, a key, a WhatsApp connector and a template. */
export async function makeSender(baseUrl: string): Promise<Sender> {
  const name = `bench-${randomBytes(6).toString('hex')}`;
  const { token } = await post(baseUrl, '/auth/register', null, {
    email: `${name}@example.com`,
    password: randomBytes(16).toString('hex'),
    name,
  });
  const project = await post(baseUrl, '/projects', token, { name });
  const made = (what: string, body: unknown) => post(baseUrl, `/projects/${project.id}/${what}`, token, body);
  const key = await made('keys', { name, rateLimit: enough });
  const connector = await made('connectors', {
    type: 'whatsapp',
    name: 'The sandbox',
    credentials: { phoneNumberId: '100200300', accessToken: 'token-of-the-bench' },
  });
  const template = await made('templates', { name: 'Code', connectorType: 'whatsapp', content, variables: ['name'] });
  return { apiKey: key.key as string, connectorId: connector.id as string, templateId: template.id as string };
}

/** A recipient that the sandbox treats as any other: the last four digits are none of its magic ones. */
function recipient(number: number): string {
  return `+4915${String(100_000 + (number % 900_000))}${String(1_000 + (number % 9_000))}`;
}

/** The body of a single send. */
export function singleBody({ connectorId, templateId }: Sender, number: number): string {
  return JSON.stringify({ to: recipient(number), connectorId, templateId, variables });
}

/** The body of a batch; each item's key is a mark that the load generator replaces. */
export function batchBody({ connectorId, templateId }: Sender, first: number, items: number): string {
  return JSON.stringify(
    Array.from({ length: items }, (_, i) => ({
      to: recipient(first + i),
      connectorId,
      templateId,
      variables,
      idempotencyKey: keyMark,
    })),
  );
}

async function post(
  baseUrl: string,
  path: string,
  token: unknown,
  body: unknown,
): Promise<Readonly<Record<string, unknown>>> {
  const answer = await fetch(`${baseUrl}/api/v1${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token !== null && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  if (answer.status !== 201) throw new Error(`POST ${path} was answered with ${answer.status}: ${text}`);
  return JSON.parse(text) as Record<string, unknown>;
}
