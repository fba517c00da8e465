import type { FastifyInstance } from 'fastify';
import { addDocumentedRoute, type DocumentedRoute } from '../routes.ts';
import type { DashboardUser } from './credentials.ts';
import { errorBody } from './wire.ts';

export { iso } from '../../platform/clock.ts';
export { tellPosition } from '../freshness.ts';
export { headerText, param, utf8Of } from '../routes.ts';
export { isoOrNull } from '../times.ts';

/** Name of the dialect, also that of its document. */
export const DIALECT = 'messagejs';
/** Where its routes stand. */
export const BASE_PATH = '/api/v1';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks, on dashboard routes. */
    messagejsUser: DashboardUser | null;
  }
}

/** One route, as its file writes it. */
export interface Route extends Omit<DocumentedRoute, 'url' | 'response'> {
  /** Below `/api/v1`. */
  readonly path: string;
  /** Answers by status, the good ones. */
  readonly answers: Readonly<Record<number, unknown>>;
  /** Statuses of errors that this route may answer, beside those that any may (`commonResponses`). */
  readonly refusals?: readonly number[];
}

/** Registers a route: its schemas are its document, what comes in is checked by the handler (the order of errors is ours). */
export function addRoute(app: FastifyInstance, route: Route): void {
  const { path, answers, refusals = [], ...documented } = route;
  addDocumentedRoute(app, DIALECT, {
    ...documented,
    url: BASE_PATH + path,
    response: { ...answers, ...Object.fromEntries(refusals.map((status) => [status, errorBody])) },
  });
}
