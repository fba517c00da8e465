import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { findAccount } from '../../../projections/accounts/queries.ts';
import { ACCOUNTS_WORKSPACE, SERVICE_ACCOUNT } from '../../commands/index.ts';
import { equalSecrets } from '../../platform/crypto.ts';
import type { Context } from './context.ts';
import { WireError } from './errors.ts';
import { type Query, queryText } from './reading.ts';
import { addRoute, iso } from './routes.ts';
import * as wire from './wire.ts';

const tags = ['Operations'];

/** Routes of the sheet's section 19 that the host does not have. */
export function operationsRoutes(app: FastifyInstance, { options }: Context): void {
  const { db, clock, config } = options;

  addRoute(app, {
    method: 'GET',
    path: '/health',
    summary: 'Health, in the shape of the original',
    description: '`redis` is what stands in its place here: Postgres.',
    tags,
    security: [],
    answers: { 200: wire.health, 503: wire.health },
    async handler(_request, reply) {
      // Any query of the read side: it finds nothing, or storage is away.
      const asked = findAccount(db, { workspace: ACCOUNTS_WORKSPACE, account: SERVICE_ACCOUNT });
      const database = await asked.then(
        () => 'ok' as const,
        () => 'error' as const,
      );
      const isWell = database === 'ok';
      if (!isWell) reply.code(503).header('retry-after', '1');
      const message = isWell ? 'All systems operational' : 'The database cannot be reached';
      return { status: database, message, details: { api: 'ok', database, redis: database } };
    },
  });

  addRoute(app, {
    method: 'GET',
    path: '/internal/ping',
    summary: 'Ping with a secret',
    tags,
    security: [],
    query: z.object({ secret: z.string().optional() }),
    answers: { 200: wire.pong },
    refusals: [403],
    async handler(request) {
      const secret = queryText(request.query as Query, 'secret') ?? '';
      const { internalPingSecret: expected } = config;
      if (expected === null || !equalSecrets(secret, expected))
        throw new WireError('ACCESS_DENIED', 'The secret is wrong');
      return { status: 'ok', message: 'pong', timestamp: iso(clock.now()) };
    },
  });
}
