/** Routes of the sheet's sections 10 and 13: notifications and webhooks. */
import { listing } from './listing.ts';
import type { Notifications, Webhooks } from './public.d.ts';
import { part, type Transport } from './transport.ts';

export function notificationRoutes(transport: Transport): Notifications {
  const { newUuid } = transport.settings;
  const one = (id: string, rest = '') => `/notifications/${part(id)}${rest}`;
  return {
    create: (body, { idempotencyKey = newUuid() } = {}) =>
      transport.one({ method: 'POST', path: '/notifications', body, idempotencyKey }),
    list: (query) => listing(transport, () => '/notifications', query),
    analytics: (query) => transport.one({ method: 'GET', path: '/notifications/analytics', query }),
    get: async (id) => transport.one({ method: 'GET', path: one(id) }),
    update: async (id, body) => transport.one({ method: 'PUT', path: one(id), body }),
    cancel: async (id) => transport.one({ method: 'POST', path: one(id, '/cancel') }),
    retry: async (id) => transport.one({ method: 'POST', path: one(id, '/retry') }),
  };
}

export function webhookRoutes(transport: Transport): Webhooks {
  const { newUuid } = transport.settings;
  const one = (id: string, rest = '') => `/webhooks/${part(id)}${rest}`;
  const act = (rest: string) => async (id: string) =>
    transport.one<never>({ method: 'POST', path: one(id, rest), isRepeatable: true });
  return {
    create: (body, { idempotencyKey = newUuid() } = {}) =>
      transport.one({ method: 'POST', path: '/webhooks', body, idempotencyKey }),
    list: (query) => listing(transport, () => '/webhooks', query),
    get: async (id) => transport.one({ method: 'GET', path: one(id) }),
    update: async (id, body) => transport.one({ method: 'PUT', path: one(id), body }),
    delete: async (id) => transport.nothing({ method: 'DELETE', path: one(id) }),
    activate: act('/activate'),
    deactivate: act('/deactivate'),
    test: act('/test'),
    analytics: async (id) => transport.one({ method: 'GET', path: one(id, '/analytics') }),
    deadLetters: (id, query) => listing(transport, () => one(id, '/dead-letters'), query),
    redrive: async (id, delivery) =>
      transport.one({ method: 'POST', path: one(id, `/dead-letters/${part(delivery)}/redrive`) }),
    replay: async (id, body) => transport.one({ method: 'POST', path: one(id, '/replay'), body }),
  };
}
