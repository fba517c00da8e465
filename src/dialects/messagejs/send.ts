/**
 * `POST /messages`, the hot path: a few microseconds of our own per request are the aim. What is in memory is asked
 * without a promise, the body is checked by hand, the answer is a text that was made before.
 */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import {
  type AcceptedSend,
  type AuthenticatedKey,
  DomainError,
  type RateLimit,
  type Tier,
} from '../../commands/index.ts';
import { iso } from '../../platform/clock.ts';
import type { Context } from './context.ts';
import { bearerOf } from './credentials.ts';
import { type FieldProblem, invalid, invalidField, tooMany, WireError } from './errors.ts';
import { idempotencyKey, keyedHeaders } from './keyed.ts';
import { addRoute, tellPosition } from './routes.ts';
import type { Spelling } from './spelling.ts';
import * as wire from './wire.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The API key that was presented, on the send routes. */
    messagejsKey: AuthenticatedKey | null;
  }
}

/** Hours are fixed windows from the first request on (sheet, section 15). */
const hourMs = 3_600_000;
/** Values nested deeper than this are refused: what spells them as JSON goes down as deep. */
const maxDepth = 64;

/** A body that was checked. Ids are still texts. */
interface SendFields {
  readonly to: string;
  readonly connectorId: string;
  readonly templateId: string;
  readonly variables: Readonly<Record<string, unknown>>;
}

/** Route of the sheet's section 9. */
export function sendRoute(app: FastifyInstance, context: Context): void {
  const { options, spelling } = context;
  const { dispatches } = options;
  addRoute(app, {
    method: 'POST',
    path: '/messages',
    summary: 'Send a message',
    description:
      'Answers once the message is stored. With an `Idempotency-Key` the same request can be sent again: it is accepted ' +
      'once, and answered the same.',
    tags: ['Messages'],
    security: ['apiKey'],
    headers: keyedHeaders,
    body: wire.sendBody,
    answers: { 202: wire.sent },
    refusals: [401, 404],
    onRequest: keyGuard(context, takeRatePoint(context)),
    handler(request, reply) {
      const key = keyOf(request);
      const fields = readSend(request.body);
      const sent = toRequest(spelling, key.workspace, fields, idempotencyKey(request));
      dispatches.send(key, sent, request.trace).then(
        (accepted) => answer(reply, accepted),
        (error) => reply.send(error),
      );
    },
  });
}

function answer(reply: FastifyReply, { dispatch, position }: AcceptedSend): void {
  tellPosition(reply, position);
  reply
    .code(202)
    .header('content-type', 'application/json; charset=utf-8')
    .send(`{"messageId":"msg_${dispatch}","status":"queued"}`);
}

type Admit = (
  request: FastifyRequest,
  reply: FastifyReply,
  key: AuthenticatedKey,
  done: (error?: Error) => void,
) => void;

/** The `onRequest` hook of the send routes: a valid key, then what `admit` asks for. Callbacks: no promise when not needed. */
export function keyGuard({ options }: Context, admit: Admit) {
  const { workspaces } = options;
  return (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void => {
    const presented = bearerOf(request.headers.authorization);
    if (presented === null) {
      done(new WireError('MISSING_API_KEY', 'API key not provided'));
      return;
    }
    let found: AuthenticatedKey | Promise<AuthenticatedKey>;
    try {
      found = workspaces.authenticate(presented);
    } catch (error) {
      done(keyError(error));
      return;
    }
    if (found instanceof Promise) {
      found.then(
        (key) => admitted(request, reply, key, admit, done),
        (error) => done(keyError(error)),
      );
    } else admitted(request, reply, found, admit, done);
  };
}

function admitted(
  request: FastifyRequest,
  reply: FastifyReply,
  key: AuthenticatedKey,
  admit: Admit,
  done: (error?: Error) => void,
): void {
  request.messagejsKey = key;
  admit(request, reply, key, done);
}

/** The key of a request behind `keyGuard`. */
export function keyOf(request: FastifyRequest): AuthenticatedKey {
  const key = request.messagejsKey;
  if (key === null) throw new Error('a send route without its guard');
  return key;
}

/** What is wrong with a key, in the words for keys. */
function keyError(error: unknown): Error {
  if (error instanceof DomainError) {
    if (error.code === 'credential-invalid')
      return new WireError('INVALID_API_KEY', 'The API key is invalid or revoked');
    if (error.code === 'credential-expired') return new WireError('API_KEY_EXPIRED', 'The API key has expired');
  }
  return error instanceof Error ? error : new Error('authentication failed', { cause: error });
}

/** The limit of a key: its own, or its owner's tier's where that is lower. A tier's limit of 0 is off. */
export function rateLimitOf({ options }: Context, key: AuthenticatedKey, tier: Tier): RateLimit {
  const most = options.config.keyRateLimits[tier];
  const limit = most > 0 && most < key.rateLimit ? most : key.rateLimit;
  return { scope: `key:${key.workspace}:${key.key}`, limit, windowMs: hourMs };
}

/** Takes the point of one send; requests that fail later and replays use one too. */
function takeRatePoint(context: Context): Admit {
  const { dispatches, limiter, clock } = context.options;
  let shown = { resetAt: 0, text: '' };
  const judge = (
    reply: FastifyReply,
    taken: Awaited<ReturnType<typeof limiter.take>>,
    done: (error?: Error) => void,
  ) => {
    const { granted, limit, remaining, resetAt } = taken;
    if (granted === 0) return done(tooMany('RATE_LIMIT_EXCEEDED', { limit, resetAt, now: clock.now() }));
    if (limit > 0) {
      if (shown.resetAt !== resetAt) shown = { resetAt, text: iso(resetAt) };
      reply.header('x-ratelimit-limit', limit).header('x-ratelimit-remaining', remaining);
      reply.header('x-ratelimit-reset', shown.text);
    }
    done();
  };
  const take = (reply: FastifyReply, key: AuthenticatedKey, tier: Tier, done: (error?: Error) => void) => {
    const taken = limiter.take(rateLimitOf(context, key, tier));
    if (taken instanceof Promise) taken.then((each) => judge(reply, each, done), done);
    else judge(reply, taken, done);
  };
  return (_request, reply, key, done) => {
    const tier = dispatches.tierOf(key.owner);
    if (tier instanceof Promise) tier.then((each) => take(reply, key, each, done), done);
    else take(reply, key, tier, done);
  };
}

/** The command of a checked body; ids that are none of this workspace's are not found. */
export function toRequest(
  spelling: Spelling,
  workspace: number,
  fields: SendFields,
  idempotencyKey: string | undefined,
) {
  const { to, variables } = fields;
  const connector = spelling.readIn(workspace, 'connector', fields.connectorId);
  const template = spelling.readIn(workspace, 'template', fields.templateId);
  return idempotencyKey === undefined
    ? { to, connector, template, variables }
    : { to, connector, template, variables, idempotencyKey };
}

const requiredFields = ['to', 'connectorId', 'templateId'] as const;

/** Checks the body of a send by hand: it is on the hot path. What is missing is told before what is malformed. */
export function readSend(value: unknown): SendFields {
  const body = wire.objectBody(value);
  const { to, connectorId, templateId, variables } = body;
  if (typeof to === 'string' && typeof connectorId === 'string' && typeof templateId === 'string') {
    if (to !== '' && connectorId !== '' && templateId !== '') {
      if (variables === undefined) return { to, connectorId, templateId, variables: {} };
      checkVariables(variables);
      return { to, connectorId, templateId, variables };
    }
  }
  wire.requireFields(body, requiredFields);
  const fields = requiredFields
    .filter((name) => typeof body[name] !== 'string')
    .map((path): FieldProblem => ({ path, message: 'is not a text' }));
  throw invalid('INVALID_INPUT', `${fields.map(({ path }) => path).join(', ')}: not a text`, ...fields);
}

function checkVariables(variables: unknown): asserts variables is Readonly<Record<string, unknown>> {
  if (typeof variables !== 'object' || variables === null || Array.isArray(variables))
    throw invalidField('variables', 'is not an object');
  const wrong = problemIn(variables, maxDepth);
  if (wrong !== null) throw invalidField('variables', wrong);
}

/** What keeps values from being inserted as they were sent; null for nothing. */
function problemIn(value: object, depth: number): string | null {
  if (depth === 0) return 'is nested too deeply';
  for (const name in value) {
    const each: unknown = (value as Record<string, unknown>)[name];
    const wrong = problemOf(each, depth);
    if (wrong !== null) return wrong;
  }
  return null;
}

function problemOf(value: unknown, depth: number): string | null {
  switch (typeof value) {
    case 'number':
      // Its digits are no longer those that were sent.
      return Math.abs(value) > Number.MAX_SAFE_INTEGER ? 'holds a number that is too large: send it as a text' : null;
    case 'object':
      return value === null ? null : problemIn(value, depth - 1);
    default:
      return null;
  }
}
