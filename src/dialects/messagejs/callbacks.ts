/** Provider callbacks (sheet, section 14): public routes, believed by their signatures. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { DomainError, type IncomingReceipt } from '../../commands/index.ts';
import { equalSecrets } from '../../platform/crypto.ts';
import type { IdSpeller } from '../../platform/ids.ts';
import type { Context } from './context.ts';
import { WireError } from './errors.ts';
import { baseUrlOf } from './options.ts';
import { type Query, queryText, requiredText } from './reading.ts';
import { addRoute, BASE_PATH } from './routes.ts';
import { Spelling } from './spelling.ts';
import * as wire from './wire.ts';

const tags = ['Provider callbacks'];
const twilioPath = '/webhooks/twilio';
const connectorParameter = 'connectorId';
/** The name is the Twilio connector's, which reads our dispatch id from it. */
const messageParameter = 'messageId';
/** Meta sends up to 3 MB. */
const maxBodyBytes = 4_194_304;

/** The `StatusCallback` address of one message: Twilio calls it, and signs it. */
export function twilioCallback(
  apiBaseUrl: string,
  speller: IdSpeller,
  message: { readonly workspace: number; readonly connector: number; readonly dispatch: string },
): string {
  const connector = new Spelling(speller).connector(message.workspace, message.connector);
  const query = `${messageParameter}=${message.dispatch}&${connectorParameter}=${connector}`;
  return `${apiBaseUrl}${BASE_PATH}${twilioPath}?${query}`;
}

/** Registers the callbacks in a scope of their own, where any body is taken as the bytes it is: signatures are over these. */
export function callbackRoutes(app: FastifyInstance, context: Context): void {
  void app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: maxBodyBytes }, (_request, body, done) =>
      done(null, body),
    );
    whatsappRoutes(scope, context);
    twilioRoute(scope, context);
  });
}

function whatsappRoutes(app: FastifyInstance, context: Context): void {
  const { config, providers, receipts } = context.options;

  addRoute(app, {
    method: 'GET',
    path: '/webhooks/whatsapp',
    summary: 'Verification of the WhatsApp callback',
    tags,
    security: [],
    query: z.object({
      'hub.mode': z.string(),
      'hub.verify_token': z.string(),
      'hub.challenge': z.string().optional(),
    }),
    answers: { 200: { description: 'The challenge', content: { 'text/plain': { schema: z.string() } } } },
    refusals: [403],
    handler(request, reply) {
      const query = request.query as Query;
      const mode = requiredText(query, 'hub.mode');
      const token = requiredText(query, 'hub.verify_token');
      const challenge = queryText(query, 'hub.challenge') ?? '';
      const { whatsappVerifyToken: expected } = config;
      if (mode !== 'subscribe' || expected === null || !equalSecrets(token, expected))
        throw new WireError('ACCESS_DENIED', 'The verify token is wrong');
      reply.header('x-content-type-options', 'nosniff').header('content-type', 'text/plain; charset=utf-8');
      reply.send(challenge);
    },
  });

  addRoute(app, {
    method: 'POST',
    path: '/webhooks/whatsapp',
    summary: 'Receipts of the WhatsApp Cloud API',
    description: 'Answered once the receipts are stored, whatever the body. Signed with `X-Hub-Signature-256`.',
    tags,
    security: [],
    answers: { 200: wire.received },
    refusals: [403],
    bodyLimit: maxBodyBytes,
    async handler(request) {
      const incoming = incomingOf(request, context);
      const secret = config.whatsappAppSecret;
      if (secret !== null && !providers.whatsapp.verifyReceipt(incoming, secret)) throw wrongSignature();
      const found = providers.whatsapp.parseReceipt(incoming);
      if (found.length > 0) await receipts.receive('whatsapp', found);
      return { received: true };
    },
  });
}

function twilioRoute(app: FastifyInstance, context: Context): void {
  const { providers, receipts, workspaces } = context.options;
  addRoute(app, {
    method: 'POST',
    path: twilioPath,
    summary: 'Receipts of Twilio',
    description: 'The address is the `StatusCallback` of one message. Signed with `X-Twilio-Signature`.',
    tags,
    security: [],
    query: z.object({ [messageParameter]: z.string().optional(), [connectorParameter]: z.string().optional() }),
    answers: { 204: wire.nothing },
    refusals: [403],
    bodyLimit: maxBodyBytes,
    async handler(request, reply) {
      const given = (request.query as Query)[connectorParameter];
      const connector = typeof given === 'string' ? context.spelling.readConnector(given) : null;
      // Nobody else can make up an id that decodes: this one we never gave away.
      if (connector === null) throw wrongSignature();
      const incoming = incomingOf(request, context);
      const token = await authToken(connector);
      // The connector was deleted: its token is gone, and so is who could want to know.
      if (token === null) return reply.code(204).send();
      if (!providers.twilio.verifyReceipt(incoming, token)) throw wrongSignature();
      const found = providers.twilio.parseReceipt(incoming);
      if (found.length > 0) await receipts.receive('twilio', found, connector);
      return reply.code(204).send();
    },
  });

  async function authToken(of: { workspace: number; connector: number }): Promise<string | null> {
    try {
      return (await workspaces.credentials(of.workspace, of.connector)).authToken ?? '';
    } catch (error) {
      if (error instanceof DomainError && error.code === 'connector-not-found') return null;
      throw error;
    }
  }
}

function incomingOf(request: FastifyRequest, { options }: Context): IncomingReceipt {
  const rawBody = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
  return { rawBody, headers: request.headers, url: baseUrlOf(options.config) + (request.raw.url ?? '') };
}

function wrongSignature(): WireError {
  return new WireError('ACCESS_DENIED', 'The signature is wrong');
}
