import type { FastifyReply, FastifyRequest } from 'fastify';
import { DomainError, type WorkspaceState } from '../../commands/index.ts';
import { type DashboardUser, dashboardGuard, Tokens, userOf } from './credentials.ts';
import { WireError } from './errors.ts';
import type { MessageJsOptions } from './options.ts';
import { param } from './routes.ts';
import { Spelling } from './spelling.ts';

/** What every file of routes is given. */
export interface Context {
  readonly options: MessageJsOptions;
  readonly spelling: Spelling;
  readonly tokens: Tokens;
  /** `onRequest` of dashboard routes. */
  readonly guard: (request: FastifyRequest, reply: FastifyReply) => Promise<void>;
}

/** Makes the context. */
export function createContext(options: MessageJsOptions): Context {
  const spelling = new Spelling(options.speller);
  const tokens = new Tokens(options.config, options.clock, spelling);
  return { options, spelling, tokens, guard: dashboardGuard(options, tokens) };
}

/** A project of the user who asks. */
export interface OwnProject {
  readonly user: DashboardUser;
  readonly workspace: number;
  readonly id: string;
  readonly state: WorkspaceState;
}

/**
 * The project of an id, when the asking user owns it (sheet, section 5): throws `PROJECT_NOT_FOUND`, and `ACCESS_DENIED`
 * when it is somebody else's.
 */
export async function ownProject(context: Context, request: FastifyRequest, id: string): Promise<OwnProject> {
  const user = userOf(request);
  const workspace = context.spelling.readProject(id);
  if (workspace === null) throw projectNotFound();
  try {
    return { user, workspace, id, state: await context.options.workspaces.ownedBy(user.actor, workspace) };
  } catch (error) {
    if (error instanceof DomainError && error.code === 'not-found') throw projectNotFound();
    throw error;
  }
}

/** The project that a nested route's path names. */
export function projectOfPath(context: Context, request: FastifyRequest, name = 'projectId'): Promise<OwnProject> {
  return ownProject(context, request, param(request, name));
}

/** No such project. */
export function projectNotFound(): WireError {
  return new WireError('PROJECT_NOT_FOUND', 'Project not found');
}
