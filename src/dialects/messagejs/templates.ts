import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { findTemplate, listTemplates, type TemplateView } from '../../../projections/templates/queries.ts';
import { type Context, projectOfPath } from './context.ts';
import { WireError } from './errors.ts';
import { keyedBy, keyedHeaders } from './keyed.ts';
import { listAnswer, pageAsked, pageQuery, type Query, waitForRows } from './reading.ts';
import { addRoute, iso, param, tellPosition } from './routes.ts';
import * as wire from './wire.ts';

const shared = { tags: ['Templates'], security: ['jwt', 'cookie'], refusals: [401, 403, 404] };
const inProject = z.object({ projectId: z.string() });
const ofOne = inProject.extend({ id: z.string() });
const collection = '/projects/:projectId/templates';
const single = `${collection}/:id`;

/** Routes of the sheet's section 8. */
export function templateRoutes(app: FastifyInstance, context: Context): void {
  const { options, spelling, guard } = context;
  const { workspaces, db, freshness } = options;

  const listed = (view: Omit<TemplateView, 'updatedAt' | 'content' | 'variables'>) => ({
    id: spelling.template(view.workspace, view.template),
    name: view.name,
    connectorType: view.connectorType,
    isActive: view.isActive,
    createdAt: iso(view.createdAt),
  });
  const shown = (view: Omit<TemplateView, 'updatedAt'>) => ({
    ...listed(view),
    content: view.content,
    variables: view.variables,
  });

  addRoute(app, {
    ...shared,
    method: 'GET',
    path: collection,
    summary: 'List templates, newest first',
    params: inProject,
    query: pageQuery,
    answers: { 200: wire.templateList },
    onRequest: guard,
    async handler(request, reply) {
      const { user, workspace } = await projectOfPath(context, request);
      const page = pageAsked(request.query as Query);
      await waitForRows(freshness, user, reply, workspace);
      return listAnswer('templates', await listTemplates(db, workspace, page ?? undefined), page, listed);
    },
  });

  addRoute(app, {
    ...shared,
    method: 'POST',
    path: collection,
    summary: 'Create a template',
    description: '`{{name}}` in `content` is replaced at a send; `variables` is documentation only.',
    params: inProject,
    headers: keyedHeaders,
    body: wire.createTemplateBody,
    answers: { 201: wire.templateCreated },
    onRequest: guard,
    async handler(request, reply) {
      const { user, workspace } = await projectOfPath(context, request);
      const { name, connectorType, content, variables = [] } = wire.readBody(wire.createTemplateBody, request.body);
      const input = { name, connectorType, content, variables };
      const keyed = keyedBy(request, `POST /projects/${workspace}/templates`);
      const { state, position } = await workspaces.createTemplate(user.actor, workspace, input, keyed);
      tellPosition(reply, position);
      reply.code(201);
      return shown(state);
    },
  });

  addRoute(app, {
    ...shared,
    method: 'GET',
    path: single,
    summary: 'Get a template',
    params: ofOne,
    answers: { 200: wire.templateShown },
    onRequest: guard,
    async handler(request, reply) {
      const { user, workspace } = await projectOfPath(context, request);
      const template = templateOfPath(context, request, workspace);
      await waitForRows(freshness, user, reply, workspace);
      const view = await findTemplate(db, workspace, template);
      if (!view) throw templateNotFound();
      return { ...shown(view), updatedAt: iso(view.updatedAt) };
    },
  });

  addRoute(app, {
    ...shared,
    method: 'PUT',
    path: single,
    summary: 'Change a template',
    description: 'Messages accepted before keep their text.',
    params: ofOne,
    body: wire.changeTemplateBody,
    answers: { 200: wire.templateChanged },
    onRequest: guard,
    async handler(request, reply) {
      const { user, workspace } = await projectOfPath(context, request);
      const template = templateOfPath(context, request, workspace);
      const before = await workspaces.template(workspace, template);
      const changes = wire.readBody(wire.changeTemplateBody, request.body);
      const isChanged = Object.values(changes).some((value) => value !== undefined);
      const { state, position } = isChanged
        ? await workspaces.changeTemplate(user.actor, workspace, template, changes)
        : { state: before, position: null };
      tellPosition(reply, position);
      return {
        id: spelling.template(workspace, template),
        content: state.content,
        variables: state.variables,
        updatedAt: iso(state.updatedAt),
        ...(changes.name !== undefined && { name: state.name }),
        ...(changes.isActive !== undefined && { isActive: state.isActive }),
      };
    },
  });

  addRoute(app, {
    ...shared,
    method: 'DELETE',
    path: single,
    summary: 'Delete a template',
    description: 'Messages made from it stay.',
    params: ofOne,
    answers: { 204: wire.nothing },
    onRequest: guard,
    async handler(request, reply) {
      const { user, workspace } = await projectOfPath(context, request);
      const template = templateOfPath(context, request, workspace);
      tellPosition(reply, await workspaces.deleteTemplate(user.actor, workspace, template));
      return reply.code(204).send();
    },
  });
}

/** The template that a nested route's path names; one of another project does not exist. */
function templateOfPath({ spelling }: Context, request: FastifyRequest, workspace: number): number {
  const template = spelling.readIn(workspace, 'template', param(request, 'id'));
  if (template === null) throw templateNotFound();
  return template;
}

function templateNotFound(): WireError {
  return new WireError('TEMPLATE_NOT_FOUND', 'Template not found');
}
