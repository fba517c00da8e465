/** Routes of the sheet's sections 6, 7 and 11: clients, their e-mail providers, their users. */
import { listing } from './listing.ts';
import type { Clients, EmailProviderRoutes, Users } from './public.d.ts';
import { part, type Transport } from './transport.ts';

export function clientRoutes(transport: Transport): Clients {
  return {
    create: (body = {}) => transport.one({ method: 'POST', path: '/clients', body, isPublic: true }),
    me: () => transport.one({ method: 'GET', path: '/clients/me' }),
    update: (body) => transport.one({ method: 'PUT', path: '/clients/me', body }),
  };
}

export function emailProviderRoutes(transport: Transport): EmailProviderRoutes {
  const path = '/clients/email-providers';
  return {
    set: (body) => transport.one({ method: 'PUT', path, body }),
    list: () => transport.one({ method: 'GET', path }),
    validate: (body) => transport.one({ method: 'POST', path: `${path}/validate`, body, isRepeatable: true }),
  };
}

export function userRoutes(transport: Transport): Users {
  const { newUuid } = transport.settings;
  const one = (id: string) => `/users/${part(id)}`;
  return {
    create: (body, { idempotencyKey = newUuid() } = {}) =>
      transport.one({ method: 'POST', path: '/users', body, idempotencyKey }),
    login: (email) => transport.one({ method: 'POST', path: '/users/login', body: { email } }),
    list: (query) => listing(transport, () => '/users', query),
    get: async (id) => transport.one({ method: 'GET', path: one(id) }),
    update: async (id, body) => transport.one({ method: 'PUT', path: one(id), body }),
    delete: async (id) => transport.nothing({ method: 'DELETE', path: one(id) }),
  };
}
