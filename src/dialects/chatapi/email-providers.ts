import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type EmailProvider, emailProviderShape, emailProviderTypes, emailProviderView } from '../../commands/index.ts';
import type { Context } from './context.ts';
import { callerOf } from './credentials.ts';
import { invalidField, WireError } from './errors.ts';
import type { Renderer } from './rendering.ts';
import { addRoute, tellPosition } from './routes.ts';
import * as wire from './wire.ts';

const tags = ['E-mail providers'];
const access = { who: 'master' } as const;
/** The sheet's path, and that of the original. */
const paths = ['/clients/email-providers', '/clients/me/email-providers'] as const;

const shown = z.object({
  provider_type: z.enum(emailProviderTypes),
  is_primary: z.boolean(),
  is_bulk: z.boolean(),
  max_recipients: wire.count,
  rate_limit_per_second: z.number(),
  from_email: z.string(),
  from_name: wire.text,
  host: z.string().optional().describe('Of an SMTP server'),
  port: wire.count.optional(),
});
const listShown = z.object({ provider_configs: z.array(shown), total_count: wire.count });
const stored = wire.action({ provider_count: wire.count });
const checked = z.union([
  z.object({ valid: z.literal(true), provider: z.string() }),
  z.object({ valid: z.literal(false), error: z.string() }),
]);
const validated = z.object({
  validation_results: z.record(z.string(), checked).describe('By type'),
  all_valid: z.boolean(),
});

/** Routes of the sheet's section 11. */
export function emailProviderRoutes(app: FastifyInstance, context: Context, render: Renderer): void {
  const { emailProviders, email, config } = context.options;
  const provider = emailProviderShape(config.smtpPorts);
  // One of each type at most.
  const body = z.union([provider, z.array(provider).max(emailProviderTypes.length)]);

  for (const path of paths) {
    addRoute(app, context, {
      method: 'PUT',
      path,
      summary: 'Set e-mail providers',
      description:
        'One provider takes the place of the one of its type; a list takes the place of all. Nothing is checked live.',
      tags,
      access,
      body,
      answers: { 200: stored },
      async handler(request, reply) {
        const { actor } = callerOf(request);
        const { body: given } = request;
        const { count, position } = Array.isArray(given)
          ? await emailProviders.replaceProviders(actor, listOf(provider, given))
          : await emailProviders.setProvider(actor, wire.readBody(provider, given));
        tellPosition(reply, position);
        return render.action('Email providers were stored', { provider_count: count });
      },
    });

    addRoute(app, context, {
      method: 'GET',
      path,
      summary: 'The e-mail providers, without their secrets',
      tags,
      access,
      answers: { 200: wire.one(listShown) },
      async handler(request) {
        const providers = await emailProviders.providersOf(callerOf(request).workspace);
        return render.one({ provider_configs: providers.map(emailProviderView), total_count: providers.length });
      },
    });

    addRoute(app, context, {
      method: 'POST',
      path: `${path}/validate`,
      summary: 'Ask e-mail providers whether they would take mail',
      description: 'Those of the body; without one, those that are stored. Nothing is stored and no mail is sent.',
      tags,
      access,
      body: body.optional(),
      answers: { 200: wire.one(validated) },
      async handler(request) {
        const providers = await providersAsked(request);
        const results = await Promise.all(
          providers.map(async ({ provider_config: about, default_from_email: sender }) => {
            const type = about.provider_type;
            const check = await email.check(about, sender);
            return [type, check.valid ? { valid: true as const, provider: type } : check] as const;
          }),
        );
        return render.one({
          validation_results: Object.fromEntries(results),
          all_valid: results.every(([, { valid }]) => valid),
        });
      },
    });
  }

  async function providersAsked(request: FastifyRequest): Promise<EmailProvider[]> {
    const { body: given } = request;
    if (given !== undefined) return Array.isArray(given) ? listOf(provider, given) : [wire.readBody(provider, given)];
    const providers = await emailProviders.providersOf(callerOf(request).workspace);
    if (providers.length === 0) throw new WireError('BAD_REQUEST', 'There is no email provider to validate');
    return providers;
  }
}

/** A list of providers. Throws 422, also for a type that is named twice. */
function listOf(provider: ReturnType<typeof emailProviderShape>, given: readonly unknown[]): EmailProvider[] {
  const providers = wire.readValue(z.array(provider).max(emailProviderTypes.length), given);
  const types = providers.map(({ provider_config: { provider_type: type } }) => type);
  const twice = types.findIndex((type, i) => types.indexOf(type) < i);
  if (twice >= 0) throw invalidField(`${twice}.provider_config.provider_type`, 'Is named twice');
  return providers;
}
