import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { countConnectors } from '../../../projections/connectors/queries.ts';
import { analytics, type Counts, usage } from '../../../projections/dispatches/queries.ts';
import { countProjects } from '../../../projections/workspaces/queries.ts';
import { ACCOUNTS_WORKSPACE } from '../../commands/index.ts';
import { type Context, ownProject, projectOfPath } from './context.ts';
import { userOf } from './credentials.ts';
import { type Query, queryText, rangeQuery, requiredText, timeAsked, waitForRows } from './reading.ts';
import { addRoute, iso } from './routes.ts';
import * as wire from './wire.ts';

const shared = { tags: ['Analytics'], security: ['jwt', 'cookie'], refusals: [401, 403, 404] };
const dayMs = 86_400_000;
/** Days of a report whose beginning nobody named, today included (the original's chart). */
const defaultDays = 30;

/** Routes of the sheet's section 16. */
export function analyticsRoutes(app: FastifyInstance, context: Context): void {
  const { options, guard } = context;
  const { db, freshness, clock } = options;

  addRoute(app, {
    ...shared,
    method: 'GET',
    path: '/analytics/messages',
    summary: "Count a project's messages",
    description:
      '`sent` counts every message that left `pending`. By day of acceptance, UTC; the last 30 days by default.',
    query: z.object({ projectId: z.string(), ...rangeQuery.shape }),
    answers: { 200: wire.analyticsShown },
    onRequest: guard,
    async handler(request, reply) {
      const query = request.query as Query;
      const { user, workspace } = await ownProject(context, request, requiredText(query, 'projectId'));
      const range = rangeOf(query, clock.now());
      await waitForRows(freshness, user, reply, workspace);
      const { totals, byConnector, byDay } = await analytics(db, { workspace, ...range });
      const sums = figures(totals);
      return {
        period: { from: second(range.fromMs), to: second(range.toMs) },
        totals: { ...sums, deliveredRate: ratio(sums.delivered, sums.sent) },
        byConnector: Object.fromEntries(
          Object.entries(byConnector)
            .map(([type, counts]) => [type, figures(counts)] as const)
            .filter(([, { sent }]) => sent > 0),
        ),
        byDay: byDay.map(({ day, ...counts }) => ({ date: day, ...figures(counts) })).filter(({ sent }) => sent > 0),
      };
    },
  });

  addRoute(app, {
    ...shared,
    method: 'GET',
    path: '/analytics/usage',
    summary: 'Usage of a project, or of all',
    description:
      'Messages are those of the project, or of all own ones without `projectId`; projects and connectors all own ones.',
    query: z.object({ projectId: z.string().optional() }),
    answers: { 200: wire.usageShown },
    onRequest: guard,
    async handler(request, reply) {
      const asked = queryText(request.query as Query, 'projectId');
      const owner = { workspace: ACCOUNTS_WORKSPACE, account: userOf(request).account };
      const project = asked === undefined ? null : await ownProject(context, request, asked);
      await waitForRows(freshness, userOf(request), reply, project?.workspace);
      const [counts, totalProjects, totalConnectors] = await Promise.all([
        usage(db, project ? { workspace: project.workspace } : { owner }),
        countProjects(db, owner),
        countConnectors(db, owner),
      ]);
      const sums = figures(counts.totals);
      return {
        totalMessages: sums.sent,
        totalProjects,
        totalConnectors,
        averageDeliveryRate: ratio(sums.delivered, sums.sent),
        topConnectors: Object.entries(counts.byConnector)
          .map(([type, each]) => ({ type, messages: figures(each).sent }))
          .filter(({ messages }) => messages > 0)
          .sort((a, b) => b.messages - a.messages),
      };
    },
  });

  addRoute(app, {
    ...shared,
    method: 'GET',
    path: '/projects/:projectId/analytics',
    summary: 'Current statuses of a project',
    description: 'Rates are percent. The series has the last 30 days, days with traffic only.',
    params: z.object({ projectId: z.string() }),
    answers: { 200: wire.projectAnalyticsShown },
    onRequest: guard,
    async handler(request, reply) {
      const { user, workspace } = await projectOfPath(context, request);
      await waitForRows(freshness, user, reply, workspace);
      const [{ totals, byConnector }, { byDay }] = await Promise.all([
        usage(db, { workspace }),
        analytics(db, { workspace, ...rangeOf({}, clock.now()) }),
      ]);
      const { pending: queued, sent, delivered, failed } = totals;
      return {
        totalMessages: total(totals),
        statusCounts: { queued, sent, delivered, failed, undelivered: 0 },
        successRate: percent(sent + delivered, total(totals)),
        deliveryRate: percent(delivered, sent + delivered),
        timeSeries: byDay.map(({ day, ...counts }) => ({
          date: day,
          total: total(counts),
          sent: counts.sent,
          delivered: counts.delivered,
          failed: counts.failed,
        })),
        connectorDistribution: Object.fromEntries(
          Object.entries(byConnector).map(([type, counts]) => [type, total(counts)]),
        ),
      };
    },
  });
}

/** Counts as the sheet defines them: `sent` is every message that left `pending`. */
function figures({ sent, delivered, failed }: Counts) {
  return { sent: sent + delivered + failed, delivered, failed };
}

function total({ pending, sent, delivered, failed }: Counts): number {
  return pending + sent + delivered + failed;
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}

/** Percent with two decimals. */
function percent(part: number, whole: number): number {
  return Math.round(ratio(part, whole) * 10_000) / 100;
}

/** The range a query asks for; without a beginning the last 30 days up to its end, without an end up to today's. */
function rangeOf(query: Query, now: number): { fromMs: number; toMs: number } {
  const toMs = timeAsked(query, 'to') ?? startOfDay(now) + dayMs - 1;
  return { fromMs: timeAsked(query, 'from') ?? startOfDay(toMs) - (defaultDays - 1) * dayMs, toMs };
}

function startOfDay(ms: number): number {
  return Math.floor(ms / dayMs) * dayMs;
}

/** To the second, as the seed shows periods. */
function second(ms: number): string {
  return iso(ms).replace(/\.\d{3}Z$/, 'Z');
}
