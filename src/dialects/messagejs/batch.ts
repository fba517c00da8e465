import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import {
  type AuthenticatedKey,
  DomainError,
  type RateTaken,
  type SendRequest,
  type SendResult,
} from '../../commands/index.ts';
import type { Context } from './context.ts';
import { tellRate } from './credentials.ts';
import { invalid, tooMany, WireError, wireError } from './errors.ts';
import { checkedKey } from './keyed.ts';
import { addRoute, tellPosition, utf8Of } from './routes.ts';
import { keyGuard, keyOf, rateLimitOf, readSend, toRequest } from './send.ts';
import * as wire from './wire.ts';

const { ndjsonType } = wire;
const newline = 0x0a;

/** A body of lines, as against a JSON document. */
class Lines {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
}

/** One item before it is checked: its value, or a line that is no JSON. */
type Item = { readonly value: unknown } | { readonly malformed: true };

/**
 * Many sends in one request, each for itself: an array, or a line each. Answered in the same form, one answer per item in
 * order, when all that was accepted is durable. Each item uses one rate point and one unit of quota.
 */
export function batchRoute(app: FastifyInstance, context: Context): void {
  const { batchLimitBytes, batchLimitItems } = context.options.config;
  void app.register(async (scope) => {
    scope.addContentTypeParser(ndjsonType, { parseAs: 'buffer', bodyLimit: batchLimitBytes }, (_request, body, done) =>
      done(null, new Lines(body as Buffer)),
    );
    addRoute(scope, {
      method: 'POST',
      path: '/messages/batch',
      summary: 'Send many messages',
      description:
        `Up to ${batchLimitItems} sends, as a JSON array or as \`${ndjsonType}\` (one a line), answered in the same form: ` +
        'one answer per item, in order. Items are independent: a line that is malformed fails alone. The header ' +
        '`Idempotency-Key` is ignored; items have `idempotencyKey`.',
      tags: ['Messages'],
      security: ['apiKey'],
      body: wire.batchBody,
      answers: { 200: wire.batchAnswers },
      refusals: [401],
      bodyLimit: batchLimitBytes,
      onRequest: keyGuard(context, (_request, _reply, _key, done) => done()),
      handler: (request, reply) => handle(context, request, reply),
    });
  });
}

async function handle(context: Context, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { dispatches, limiter } = context.options;
  const key = keyOf(request);
  const { body } = request;
  const items = itemsOf(body, context.options.config.batchLimitItems);
  const tier = await dispatches.tierOf(key.owner);
  const rate = await limiter.take(rateLimitOf(context, key, tier), items.length);
  tellRate(reply, rate);
  const answers: string[] = new Array(items.length);
  const sends = readItems(context, key, items, rate, answers);
  const results = sends.requests.length > 0 ? await dispatches.sendAll(key, sends.requests, request.trace) : [];
  tellPosition(reply, answerAll(context, sends.indexes, results, answers));
  if (body instanceof Lines) {
    return reply.header('content-type', `${ndjsonType}; charset=utf-8`).send(`${answers.join('\n')}\n`);
  }
  return reply.header('content-type', 'application/json; charset=utf-8').send(`[${answers.join(',')}]`);
}

/** Checks the items that have a rate point; what is refused gets its answer here. */
function readItems(
  context: Context,
  key: AuthenticatedKey,
  items: readonly Item[],
  rate: RateTaken,
  answers: string[],
): { requests: SendRequest[]; indexes: number[] } {
  const { options, spelling } = context;
  const requests: SendRequest[] = [];
  const indexes: number[] = [];
  const now = options.clock.now();
  for (let index = 0; index < items.length; index++) {
    try {
      if (index >= rate.granted)
        throw tooMany('RATE_LIMIT_EXCEEDED', { limit: rate.limit, resetAt: rate.resetAt, now });
      const item = items[index] as Item;
      if (!('value' in item)) throw invalid('INVALID_INPUT', 'The line is not valid JSON');
      const fields = readSend(item.value);
      const { idempotencyKey: given } = item.value as { idempotencyKey?: unknown };
      const idempotencyKey = given === undefined ? undefined : checkedKey(given, 'idempotencyKey');
      requests.push(toRequest(spelling, key.workspace, fields, idempotencyKey));
      indexes.push(index);
    } catch (error) {
      answers[index] = refusal(index, error, now);
    }
  }
  return { requests, indexes };
}

/** Renders what became of the sends; answers the highest position. */
function answerAll(
  { options }: Context,
  indexes: readonly number[],
  results: readonly SendResult[],
  answers: string[],
): bigint | null {
  const now = options.clock.now();
  let highest: bigint | null = null;
  for (let at = 0; at < results.length; at++) {
    const index = indexes[at] as number;
    const result = results[at] as SendResult;
    if ('refused' in result) {
      answers[index] = refusal(index, result.refused, now);
      continue;
    }
    answers[index] = `{"index":${index},"status":202,"messageId":"msg_${result.dispatch}"}`;
    if (result.position !== null && (highest === null || result.position > highest)) highest = result.position;
  }
  return highest;
}

/** The answer to an item that was refused. What is no refusal is the whole request's failure. */
function refusal(index: number, error: unknown, now: number): string {
  if (!(error instanceof WireError) && !(error instanceof DomainError)) throw error;
  const { status, body } = wireError(error, now);
  return JSON.stringify({ index, status, ...body });
}

function itemsOf(body: unknown, maxItems: number): Item[] {
  const items = body instanceof Lines ? linesOf(body.bytes, maxItems) : elementsOf(body);
  if (items.length === 0) throw invalid('INVALID_INPUT', 'The batch is empty');
  if (items.length > maxItems) throw invalid('INVALID_INPUT', `The batch has more than ${maxItems} items`);
  return items;
}

function elementsOf(body: unknown): Item[] {
  if (!Array.isArray(body)) throw invalid('INVALID_INPUT', 'The body must be a JSON array, or lines of JSON');
  return body.map((value: unknown) => ({ value }));
}

/** The items of lines, one more than allowed at most. Blank lines are none. */
function linesOf(bytes: Buffer, maxItems: number): Item[] {
  const items: Item[] = [];
  let start = 0;
  while (start < bytes.length && items.length <= maxItems) {
    const end = bytes.indexOf(newline, start);
    const line = utf8Of(bytes.subarray(start, end < 0 ? bytes.length : end))?.trim();
    start = end < 0 ? bytes.length : end + 1;
    if (line !== '') items.push(lineOf(line));
  }
  return items;
}

function lineOf(line: string | undefined): Item {
  if (line === undefined) return { malformed: true };
  try {
    return { value: JSON.parse(line) as unknown };
  } catch {
    return { malformed: true };
  }
}
