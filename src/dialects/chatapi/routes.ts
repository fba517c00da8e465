import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { keyedHeaders } from '../keyed.ts';
import { addDocumentedRoute, type DocumentedRoute } from '../routes.ts';
import type { Context } from './context.ts';
import { type Access, keyGuard } from './credentials.ts';
import * as wire from './wire.ts';

export { iso } from '../../platform/clock.ts';
export { tellPosition } from '../freshness.ts';
export { param } from '../routes.ts';
export { isoOrNull } from '../times.ts';

/** Name of the dialect, also that of its document. */
export const DIALECT = 'chatapi';
/** Where its routes stand. */
export const BASE_PATH = '/api/v1';

/** One route, as its file writes it. `onRequest` runs instead of the guard of `access`. */
export interface Route extends Omit<DocumentedRoute, 'url' | 'response' | 'security' | 'params' | 'headers'> {
  /** Below `/api/v1`. */
  readonly path: string;
  /** Who may call it, and what it is limited by; null: anybody, see its handler. */
  readonly access: Access | null;
  /** An `Idempotency-Key` is honoured. */
  readonly keyed?: boolean;
  /** Answers by status, the good ones. */
  readonly answers: Readonly<Record<number, z.ZodType>>;
  /** Statuses of errors that this route may answer, beside those that any may (`commonResponses`). */
  readonly refusals?: readonly number[];
}

/** Registers a route: its schemas are its document; what comes in is checked by the handler (the order of errors is ours). */
export function addRoute(app: FastifyInstance, context: Context, route: Route): void {
  const { path, access, keyed = false, answers, refusals = [], ...documented } = route;
  const onRequest = route.onRequest ?? (access ? keyGuard(context.options, DIALECT, access) : undefined);
  const names = [...path.matchAll(/:(\w+)/g)].map(([, name = '']) => name);
  const guarded = access ? [401, ...(access.who === 'master' ? [403] : [])] : [];
  const errors = new Set([...refusals, ...guarded, ...(route.body || route.query || keyed ? [422] : [])]);
  addDocumentedRoute(app, DIALECT, {
    ...documented,
    url: BASE_PATH + path,
    security: access ? ['bearer', 'apiKey'] : [],
    response: { ...answers, ...Object.fromEntries([...errors].map((status) => [status, wire.errorBody])) },
    ...(names.length > 0 && { params: z.object(Object.fromEntries(names.map((name) => [name, z.string()]))) }),
    ...(keyed && { headers: keyedHeaders }),
    ...(onRequest && { onRequest }),
  });
}
