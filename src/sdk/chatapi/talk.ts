/** Routes of the sheet's sections 8 and 9: rooms and messages. */
import { listing } from './listing.ts';
import type { Messages, Rooms } from './public.d.ts';
import { part, type Transport } from './transport.ts';

export function roomRoutes(transport: Transport): Rooms {
  const { newUuid } = transport.settings;
  const one = (id: string, rest = '') => `/rooms/${part(id)}${rest}`;
  return {
    create: (body = {}, { idempotencyKey = newUuid() } = {}) =>
      transport.one({ method: 'POST', path: '/rooms', body, idempotencyKey }),
    list: (query) => listing(transport, () => '/rooms', query),
    all: (query) => listing(transport, () => '/rooms/all', query),
    get: async (id) => transport.one({ method: 'GET', path: one(id) }),
    update: async (id, body) => transport.one({ method: 'PUT', path: one(id), body }),
    delete: async (id) => transport.nothing({ method: 'DELETE', path: one(id) }),
    deactivate: async (id, reason) =>
      transport.one({ method: 'POST', path: one(id, '/deactivate'), body: { reason }, isRepeatable: true }),
    activate: async (id) => transport.one({ method: 'POST', path: one(id, '/activate'), isRepeatable: true }),
    join: async (id, body = {}) => transport.one({ method: 'POST', path: one(id, '/join'), body }),
    leave: async (id, user) => transport.one({ method: 'POST', path: one(id, '/leave'), body: { user_id: user } }),
    participants: (id, query) => listing(transport, () => one(id, '/participants'), query),
    online: async (id) => transport.one({ method: 'GET', path: one(id, '/online') }),
    members: (id, query) => listing(transport, () => one(id, '/members'), query),
    addMember: async (id, body) => transport.one({ method: 'POST', path: one(id, '/members'), body }),
    removeMember: async (id, user) => transport.nothing({ method: 'DELETE', path: one(id, `/members/${part(user)}`) }),
    memberRole: async (id, user) => transport.one({ method: 'GET', path: one(id, `/members/${part(user)}/role`) }),
  };
}

export function messageRoutes(transport: Transport): Messages {
  const { newUuid } = transport.settings;
  const one = (id: string) => `/messages/${part(id)}`;
  const inRoom = (id: string, rest = '') => `/messages/rooms/${part(id)}${rest}`;
  return {
    send: (body, { idempotencyKey = newUuid() } = {}) =>
      transport.one({ method: 'POST', path: '/messages', body, idempotencyKey }),
    list: (query) => listing(transport, () => '/messages', query),
    search: (q, query) => listing(transport, () => '/messages/search', { ...query, q }),
    get: async (id) => transport.one({ method: 'GET', path: one(id) }),
    update: async (id, body) => transport.one({ method: 'PUT', path: one(id), body }),
    delete: async (id) => transport.nothing({ method: 'DELETE', path: one(id) }),
    latest: async (room, query) => transport.page({ method: 'GET', path: inRoom(room), query }),
    unread: (room, query) => listing(transport, () => inRoom(room, '/unread'), query),
    markRead: async (room, id) =>
      transport.one({ method: 'POST', path: inRoom(room, '/read'), body: { message_id: id }, isRepeatable: true }),
  };
}
