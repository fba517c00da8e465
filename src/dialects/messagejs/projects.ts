import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { findProject, listProjects, type ProjectView } from '../../../projections/workspaces/queries.ts';
import { ACCOUNTS_WORKSPACE } from '../../commands/index.ts';
import { type Context, projectNotFound, projectOfPath } from './context.ts';
import { userOf } from './credentials.ts';
import { orNotFound } from './errors.ts';
import { keyedBy, keyedHeaders } from './keyed.ts';
import { listAnswer, pageAsked, pageQuery, type Query, waitForRows } from './reading.ts';
import { addRoute, iso, tellPosition } from './routes.ts';
import * as wire from './wire.ts';

const shared = { tags: ['Projects'], security: ['jwt', 'cookie'] };
const params = z.object({ id: z.string() });

/** Routes of the sheet's section 5. */
export function projectRoutes(app: FastifyInstance, context: Context): void {
  const { options, spelling, guard } = context;
  const { workspaces, db, freshness } = options;

  const shown = (view: Pick<ProjectView, 'workspace' | 'name' | 'description' | 'createdAt'>) => ({
    id: spelling.project(view.workspace),
    name: view.name,
    description: view.description,
    createdAt: iso(view.createdAt),
    isActive: true,
  });

  addRoute(app, {
    ...shared,
    method: 'GET',
    path: '/projects',
    summary: 'List own projects, newest first',
    query: pageQuery,
    answers: { 200: wire.projectList },
    refusals: [401],
    onRequest: guard,
    async handler(request, reply) {
      const user = userOf(request);
      const page = pageAsked(request.query as Query);
      await waitForRows(freshness, user, reply);
      const owner = { workspace: ACCOUNTS_WORKSPACE, account: user.account };
      const found = await listProjects(db, owner, page ?? undefined);
      return listAnswer('projects', found, page, shown);
    },
  });

  addRoute(app, {
    ...shared,
    method: 'POST',
    path: '/projects',
    summary: 'Create a project',
    headers: keyedHeaders,
    body: wire.createProjectBody,
    answers: { 201: wire.projectCreated },
    refusals: [401, 404],
    onRequest: guard,
    async handler(request, reply) {
      const { actor, account } = userOf(request);
      const { name, description = null } = wire.readBody(wire.createProjectBody, request.body);
      const opening = workspaces.openProject(actor, { name, description }, keyedBy(request, 'POST /projects'));
      const { workspace, state, position } = await orNotFound('PROJECT_NOT_FOUND', 'Project not found', opening);
      tellPosition(reply, position);
      reply.code(201);
      return { ...shown({ workspace, ...state }), userId: spelling.user(account) };
    },
  });

  addRoute(app, {
    ...shared,
    method: 'GET',
    path: '/projects/:id',
    summary: 'Get a project',
    params,
    answers: { 200: wire.projectShown },
    refusals: [401, 403, 404],
    onRequest: guard,
    async handler(request, reply) {
      const { user, workspace } = await projectOfPath(context, request, 'id');
      await waitForRows(freshness, user, reply);
      const view = await findProject(db, workspace);
      if (!view) throw projectNotFound();
      return { ...shown(view), userId: spelling.user(user.account), updatedAt: iso(view.updatedAt) };
    },
  });

  addRoute(app, {
    ...shared,
    method: 'PUT',
    path: '/projects/:id',
    summary: 'Change a project',
    params,
    body: wire.changeProjectBody,
    answers: { 200: wire.projectChanged },
    refusals: [401, 403, 404],
    onRequest: guard,
    async handler(request, reply) {
      const { user, workspace, id, state } = await projectOfPath(context, request, 'id');
      const { name, description } = wire.readBody(wire.changeProjectBody, request.body);
      const isChanged = name !== undefined || description !== undefined;
      const change = () => workspaces.changeProject(user.actor, workspace, { name, description });
      const changed = isChanged
        ? await orNotFound('PROJECT_NOT_FOUND', 'Project not found', change())
        : { state, position: null };
      tellPosition(reply, changed.position);
      const { name: now, description: about, updatedAt } = changed.state;
      return { id, name: now, description: about, updatedAt: iso(updatedAt) };
    },
  });

  addRoute(app, {
    ...shared,
    method: 'DELETE',
    path: '/projects/:id',
    summary: 'Delete a project',
    description: 'Its keys are dead at once; its connectors, templates and messages are hidden, and erased afterwards.',
    params,
    answers: { 204: wire.nothing },
    refusals: [401, 403, 404],
    onRequest: guard,
    async handler(request, reply) {
      const { user, workspace } = await projectOfPath(context, request, 'id');
      const work = workspaces.deleteProject(user.actor, workspace);
      tellPosition(reply, await orNotFound('PROJECT_NOT_FOUND', 'Project not found', work));
      return reply.code(204).send();
    },
  });
}
