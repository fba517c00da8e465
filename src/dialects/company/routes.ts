import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { Actor, AuthenticatedSession } from '../../commands/index.ts';
import * as fresh from '../freshness.ts';
import { addDocumentedRoute, type DocumentedRoute } from '../routes.ts';
import { detail, tokenError, unavailable } from './errors.ts';
import type { CompanyOptions } from './options.ts';
import { bearerOf, Tokens } from './tokens.ts';
import { tokenRefused } from './wire.ts';

export { tellPosition } from '../freshness.ts';

/** Name of the dialect, also that of its document. */
export const DIALECT = 'company';
/** Where its requests stand. */
export const BASE_PATH = '/api';

declare module 'fastify' {
  interface FastifyRequest {
    /** Whose token was presented, where one was. */
    companyUser: AuthenticatedSession | null;
  }
}

/** What every file of routes is given. */
export interface Context {
  readonly options: CompanyOptions;
  readonly tokens: Tokens;
  /** `onRequest` of routes that need a token. */
  readonly guard: (request: FastifyRequest) => Promise<void>;
}

/** Makes the context. */
export function createContext(options: CompanyOptions): Context {
  const { config, clock, people } = options;
  const tokens = new Tokens({ jwtSecret: config.jwtSecret, workspace: config.workspace, clock });
  const guard = async (request: FastifyRequest) => {
    const token = bearerOf(request.headers.authorization);
    if (token === null) throw tokenError('unauthenticated');
    request.companyUser = await people.authenticateSession(await tokens.read(token));
  };
  return { options, tokens, guard };
}

/** Schemas of zod by content type. */
export interface ByContentType {
  readonly description: string;
  readonly content: Readonly<Record<string, { readonly schema: z.ZodType }>>;
}

/** One route, as its file writes it. */
export interface Route extends Omit<DocumentedRoute, 'url' | 'response'> {
  /** Below `/api`. */
  readonly path: string;
  /** Answers by status, refusals too, beside those that any route may give (`commonResponses`): zod, or by content type. */
  readonly answers: Readonly<Record<number, z.ZodType | ByContentType>>;
}

/** Registers a route: its schemas are its document, what comes in is checked by the handler (the order of errors is ours). */
export function addRoute(app: FastifyInstance, route: Route): void {
  const { path, answers, ...documented } = route;
  addDocumentedRoute(app, DIALECT, {
    ...documented,
    url: BASE_PATH + path,
    response: { ...(route.security.length > 0 && { 401: tokenRefused }), ...answers },
  });
}

/** Who asks; on a route behind the guard. */
export function userOf(request: FastifyRequest): AuthenticatedSession {
  if (request.companyUser === null) throw new Error('a route that needs a token without its guard');
  return request.companyUser;
}

/** An acting account, in the trace of a request. */
export function actorOf({ config }: CompanyOptions, account: number, request: FastifyRequest): Actor {
  const actor = { workspace: config.workspace, account, dialect: DIALECT };
  return request.trace === undefined ? actor : { ...actor, trace: request.trace };
}

/**
 * Waits until rows show what this node acknowledged in the workspace, and what `X-Parley-Position` asks for. Marks a stale
 * answer; throws 503 for a position not reached, 400 for what is none.
 */
export async function waitForRows(
  { freshness, config: { workspace } }: CompanyOptions,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const atLeast = await fresh.positionAsked(freshness, request, () => detail(400));
  await fresh.waitForRows(freshness, { workspace, atLeast }, reply, unavailable);
}
