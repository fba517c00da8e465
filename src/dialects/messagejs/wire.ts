/**
 * The shapes on the wire, as zod schemas: what the dialect's document shows, and what bodies are checked by. Objects take
 * and drop fields they do not know (sheet, section 1).
 */
import { z } from 'zod';
import { connectorTypes } from '../../../schemas/index.ts';
import { type FieldProblem, invalid, statusOf, type WireCode } from './errors.ts';

const control = /\0/;

/** A text that the tables can hold: no NUL, no half of a surrogate pair. */
function isStorable(text: string): boolean {
  return !control.test(text) && text.isWellFormed();
}

const storable = [isStorable, 'holds characters that cannot be stored'] as const;

/** A text for people of at most so many UTF-16 units. */
function words(minLength: number, maxLength: number) {
  return z
    .string()
    .min(minLength)
    .max(maxLength)
    .refine(...storable);
}

/** The same, without the white space at its ends. */
function trimmed(minLength: number, maxLength: number) {
  return z
    .string()
    .trim()
    .min(minLength)
    .max(maxLength)
    .refine(...storable);
}

/** A point in time: ISO 8601, UTC. */
export const time = z.iso.datetime().meta({ example: '2024-01-15T10:00:00.000Z' });
const optionalTime = time.nullable();
const connectorType = z.enum(connectorTypes);
/** A status as it is shown; `queued` stands in the answer to a send alone. */
const status = z.enum(['pending', 'sent', 'delivered', 'failed']);
const count = z.int().min(0);

function id(prefix: string) {
  return z.string().meta({ example: `${prefix}_0k3v9c2m5t8x1q4z7b6n0d2f` });
}

const errorFields = z.object({
  error: z.string().describe('Text for people'),
  code: z.enum(Object.keys(statusOf) as [WireCode, ...WireCode[]]),
  details: z.record(z.string(), z.unknown()).optional(),
});

/** Every error answer. One that nothing decides between two dialects has the other's fields beside it. */
export const errorBody = errorFields.loose().meta({ id: 'Error', description: 'The request was refused' });

/** An answer without a body. */
export const nothing = z.null().meta({ description: 'Done; no body' });

// Auth (sheet, section 4).

const email = z.email().max(254);

export const registerBody = z.object({
  email,
  password: z.string().min(8).max(1_024),
  name: words(1, 200).nullish(),
});
export const loginBody = z.object({ email, password: z.string().min(1).max(1_024) });
export const refreshBody = z.object({ refreshToken: z.string().min(1) });

const user = z.object({ id: id('usr'), email: z.string(), name: z.string().nullable() });
const tokens = { token: z.string(), refreshToken: z.string() };
export const registered = z.object({ user: user.extend({ createdAt: time }), ...tokens });
export const loggedIn = z.object({ user, ...tokens });
export const me = z.object({ user: user.extend({ createdAt: time, lastLogin: optionalTime }) });
export const refreshed = z.object(tokens);
export const loggedOut = z.object({ message: z.string() });

// Projects (section 5).

const projectName = words(3, 100);
const description = words(0, 4_096).nullish();

export const createProjectBody = z.object({ name: projectName, description });
export const changeProjectBody = z.object({ name: projectName.optional(), description });

const project = z.object({
  id: id('proj'),
  name: z.string(),
  description: z.string().nullable(),
  createdAt: time,
  isActive: z.boolean(),
});
export const projectCreated = project.extend({ userId: id('usr') });
export const projectShown = projectCreated.extend({ updatedAt: time });
export const projectChanged = project.pick({ id: true, name: true, description: true }).extend({ updatedAt: time });

/** Where a page of a list stands. */
const pagination = z.object({ limit: count, offset: count, total: count, hasMore: z.boolean() });

/** A list under its name; `pagination` when a page was asked for. */
function list<N extends string, T extends z.ZodType>(name: N, element: T) {
  return z.object({ [name]: z.array(element) as z.ZodArray<T>, pagination: pagination.optional() });
}

export const projectList = list('projects', project);

// Keys (section 6).

export const createKeyBody = z.object({
  name: words(1, 200).optional(),
  rateLimit: z.int().min(1).max(2_147_483_647).optional().describe('Messages an hour'),
  expiresAt: z.iso.datetime({ offset: true }).nullish(),
});
const key = z.object({
  id: id('key'),
  name: z.string(),
  rateLimit: count,
  isActive: z.boolean(),
  createdAt: time,
});
export const keyCreated = key.extend({ key: z.string().describe('The secret: shown this once') });
export const keyList = list('keys', key.extend({ lastUsed: optionalTime }));

// Connectors (section 7).

const credentials = z
  .record(z.string(), z.string())
  .describe(
    'whatsapp: `phoneNumberId`, `accessToken`; telegram: `botToken`; twilio: `accountSid`, `authToken`, `fromNumber`',
  );
const connectorName = words(1, 200);

export const createConnectorBody = z.object({ type: connectorType, name: connectorName.optional(), credentials });
export const changeConnectorBody = z.object({
  name: connectorName.optional(),
  isActive: z.boolean().optional(),
  credentials: credentials.optional(),
});
/** What of a connector's body is checked by its shape; credentials have an order of their own. */
export const connectorFields = changeConnectorBody.pick({ name: true, isActive: true });

const connector = z.object({
  id: id('conn'),
  type: connectorType,
  name: z.string(),
  isActive: z.boolean(),
  createdAt: time,
});
export const connectorList = list('connectors', connector);
export const connectorCreated = connector.extend({ projectId: id('proj') });
export const connectorShown = connector.extend({ updatedAt: time });
export const connectorChanged = connector.pick({ id: true, name: true, isActive: true }).extend({ updatedAt: time });
export const connectorTested = z.object({ success: z.boolean(), connected: z.boolean(), message: z.string() });

// Templates (section 8).

const templateName = trimmed(3, 100);
const templateContent = trimmed(1, 4_096);
const variableNames = z.array(words(0, 255)).max(1_000);

export const createTemplateBody = z.object({
  name: templateName,
  connectorType,
  content: templateContent,
  variables: variableNames.optional(),
});
export const changeTemplateBody = z.object({
  name: templateName.optional(),
  content: templateContent.optional(),
  variables: variableNames.optional(),
  isActive: z.boolean().optional(),
});
const template = z.object({
  id: id('tpl'),
  name: z.string(),
  connectorType,
  isActive: z.boolean(),
  createdAt: time,
});
export const templateList = list('templates', template);
export const templateCreated = template.extend({ content: z.string(), variables: z.array(z.string()) });
export const templateShown = templateCreated.extend({ updatedAt: time });
export const templateChanged = templateShown
  .pick({ id: true, content: true, variables: true, updatedAt: true })
  .extend({ name: z.string().optional(), isActive: z.boolean().optional() });

// Messages (sections 9 and 10, and the batch).

export const sendBody = z.object({
  to: z.string().min(1),
  connectorId: id('conn'),
  templateId: id('tpl'),
  variables: z.record(z.string(), z.unknown()).optional(),
});
export const sent = z.object({ messageId: id('msg'), status: z.literal('queued') });

const batchItem = sendBody.extend({ idempotencyKey: z.string().min(1).max(255).optional() });
const batchAnswer = z.union([
  z.object({ index: count, status: z.literal(202), messageId: id('msg') }),
  errorFields.extend({ index: count, status: z.int() }),
]);

/** One value of it stands for the whole text, as each of its lines. */
export const ndjsonType = 'application/x-ndjson';
export const batchBody = {
  content: {
    'application/json': { schema: z.array(batchItem).min(1) },
    [ndjsonType]: { schema: batchItem },
  },
};
export const batchAnswers = {
  description: 'One answer per item, in order',
  content: {
    'application/json': { schema: z.array(batchAnswer) },
    [ndjsonType]: { schema: batchAnswer },
  },
};

const message = z.object({
  id: id('msg'),
  to: z.string(),
  text: z.string(),
  status,
  sentAt: optionalTime,
  createdAt: time,
});
export const messageList = z.object({ messages: z.array(message.extend({ connectorType })), pagination });
export const messageShown = message.extend({
  projectId: id('proj'),
  connectorId: id('conn'),
  metadata: z.object({ messageId: z.string().optional().describe('Id given by the provider') }),
  deliveredAt: optionalTime,
  error: z.string().optional(),
});

// Analytics (section 16).

const figures = { sent: count, delivered: count, failed: count };

export const analyticsShown = z.object({
  period: z.object({ from: z.iso.datetime(), to: z.iso.datetime() }),
  totals: z.object({ ...figures, deliveredRate: z.number().min(0).max(1) }),
  byConnector: z.partialRecord(connectorType, z.object(figures)),
  byDay: z.array(z.object({ date: z.iso.date(), ...figures })),
});
export const usageShown = z.object({
  totalMessages: count,
  totalProjects: count,
  totalConnectors: count,
  averageDeliveryRate: z.number().min(0).max(1),
  topConnectors: z.array(z.object({ type: connectorType, messages: count })),
});
const percent = z.number().min(0).max(100);
export const projectAnalyticsShown = z.object({
  totalMessages: count,
  statusCounts: z.object({ queued: count, ...figures, undelivered: count }),
  successRate: percent,
  deliveryRate: percent,
  timeSeries: z.array(z.object({ date: z.iso.date(), total: count, ...figures })),
  connectorDistribution: z.partialRecord(connectorType, count),
});

// Callbacks and operations (sections 14 and 19).

export const received = z.object({ received: z.boolean() });
const state = z.enum(['ok', 'error']);
export const health = z.object({
  status: state,
  message: z.string(),
  details: z.object({ api: state, database: state, redis: state }),
});
export const pong = z.object({ status: z.literal('ok'), message: z.string(), timestamp: time });

// Checking.

/** Codes that go with a field wherever it stands. */
const fieldCodes: Readonly<Record<string, WireCode>> = {
  email: 'INVALID_EMAIL',
  connectorType: 'INVALID_CONNECTOR_TYPE',
};

const requiredOf = new WeakMap<z.ZodObject, readonly string[]>();

function requiredFields(schema: z.ZodObject): readonly string[] {
  let fields = requiredOf.get(schema);
  if (!fields) {
    const all = Object.entries(schema.shape) as [string, z.ZodType][];
    fields = all.filter(([, field]) => !field.safeParse(undefined).success).map(([name]) => name);
    requiredOf.set(schema, fields);
  }
  return fields;
}

/** The body as an object; nothing at all counts as an empty one. */
export function objectBody(value: unknown): Readonly<Record<string, unknown>> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid('INVALID_INPUT', 'The body must be a JSON object');
  }
  return value as Record<string, unknown>;
}

/** Throws `MISSING_REQUIRED_FIELD` when one of these is absent, null or empty. */
export function requireFields(body: Readonly<Record<string, unknown>>, names: readonly string[]): void {
  const missing = names.filter((name) => body[name] === undefined || body[name] === null || body[name] === '');
  if (missing.length === 0) return;
  const fields = missing.map((path): FieldProblem => ({ path, message: 'is required' }));
  throw invalid(
    'MISSING_REQUIRED_FIELD',
    `${missing.join(', ')} ${missing.length > 1 ? 'are' : 'is'} required`,
    ...fields,
  );
}

/**
 * Checks a body. What is missing is told first, then what has a code of its own, then every other violation
 * (`INVALID_INPUT`); `details.fields` lists them all.
 */
export function readBody<S extends z.ZodObject>(schema: S, value: unknown): z.output<S> {
  const body = objectBody(value);
  requireFields(body, requiredFields(schema));
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const { issues } = result.error;
  const codes = issues.map(({ path: [first] }) => fieldCodes[String(first)]);
  const at = Math.max(
    0,
    codes.findIndex((code) => code !== undefined),
  );
  const fields = issues.map(({ path, message }): FieldProblem => ({ path: path.join('.'), message }));
  const main = fields[at] as FieldProblem;
  throw invalid(codes[at] ?? 'INVALID_INPUT', `${main.path}: ${main.message}`, ...fields);
}
