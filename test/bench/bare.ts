/**
 * The reference of the single send, a process of its own: a bare Fastify route that checks the same headers and body and
 * answers the same 202, and stores nothing. Forked; says `{port}` when it listens.
 */
import type { AddressInfo } from 'node:net';
import fastify from 'fastify';

const app = fastify({ logger: false });
let accepted = 0;

app.post('/api/v1/messages', {
  schema: {
    headers: {
      type: 'object',
      required: ['authorization', 'idempotency-key'],
      properties: {
        authorization: { type: 'string', pattern: '^Bearer pk_(?:live|test)_[0-9a-f]{32}_sk_[0-9a-f]{64}$' },
        'idempotency-key': { type: 'string', minLength: 1, maxLength: 255 },
      },
    },
    body: {
      type: 'object',
      required: ['to', 'connectorId', 'templateId'],
      properties: {
        to: { type: 'string', minLength: 1 },
        connectorId: { type: 'string', minLength: 1 },
        templateId: { type: 'string', minLength: 1 },
        variables: { type: 'object' },
      },
    },
    response: {
      202: {
        type: 'object',
        required: ['messageId', 'status'],
        properties: { messageId: { type: 'string' }, status: { type: 'string' } },
      },
    },
  },
  handler(_request, reply) {
    accepted++;
    reply.code(202).send({ messageId: `msg_${accepted.toString(36).padStart(24, '0')}`, status: 'queued' });
  },
});

await app.listen({ host: '127.0.0.1', port: 0 });
process.send?.({ port: (app.server.address() as AddressInfo).port });
process.on('disconnect', () => process.exit(0));
