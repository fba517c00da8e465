import type { FastifyInstance } from 'fastify';
import { messagesOf } from '../../../projections/messages/queries.ts';
import { listRoomsOf, membersOf, privateRoomOf } from '../../../projections/rooms/queries.ts';
import { DomainError, defaultInactiveAfterMs, memberOf } from '../../commands/index.ts';
import { cannotCreate } from './errors.ts';
import { actorOf, addRoute, type Context, tellPosition, userOf, waitForRows } from './routes.ts';
import * as wire from './wire.ts';

const security = ['token'];
/** There is no such recipient, or another dialect gave the recipient's place to somebody else. */
const notMade: ReadonlySet<string> = new Set(['not-found', 'room-full']);

/** Conversations and their messages (sheet, sections 2 and 3). Messages are sent over the channel alone. */
export function conversationRoutes(app: FastifyInstance, { options, guard }: Context): void {
  const { rooms, db, clock, config } = options;
  const { workspace } = config;

  addRoute(app, {
    method: 'POST',
    path: '/conversations',
    summary: 'Begin a conversation with somebody, or find it',
    tags: ['Conversations'],
    security,
    body: wire.conversationBody,
    answers: { 200: wire.conversation, 201: wire.conversation, 422: wire.conversationRefused },
    onRequest: guard,
    async handler(request, reply) {
      const { account } = userOf(request);
      const recipient = wire.readId(wire.required(request.body, 'recipient', 'recipient_id'));
      if (recipient === null) throw cannotCreate();
      const both = [...new Set([account, recipient])];
      if (recipient !== account) {
        // Another dialect may have made it, as a room of no pair.
        await waitForRows(options, request, reply);
        const known = await privateRoomOf(db, workspace, account, recipient, { creator: account });
        if (known !== null) return wire.conversationOf(known, account, both);
      }
      const created = await rooms
        .create(actorOf(options, account, request), {
          kind: 'private',
          joinPolicy: 'closed',
          maxMembers: both.length,
          members: both.map((each) => ({ account: each })),
          pair: { rule: 'ordered', accounts: [account, recipient] },
        })
        .catch((error: unknown) => {
          throw error instanceof DomainError && notMade.has(error.code) ? cannotCreate() : error;
        });
      tellPosition(reply, created.position);
      reply.code(created.existing ? 200 : 201);
      return wire.conversationOf(created.room, account, both);
    },
  });

  addRoute(app, {
    method: 'GET',
    path: '/conversations',
    summary: 'List the conversations that one started or received',
    tags: ['Conversations'],
    security,
    answers: { 200: wire.conversations },
    onRequest: guard,
    async handler(request, reply) {
      const { account } = userOf(request);
      await waitForRows(options, request, reply);
      const inactivity = { nowMs: clock.now(), inactiveAfterMs: defaultInactiveAfterMs };
      const filter = { ...inactivity, workspace, kinds: ['private'], sort: 'room', order: 'asc' } as const;
      const { items } = await listRoomsOf(db, account, filter);
      const numbers = items.map(({ room }) => room);
      const members = Map.groupBy(await membersOf(db, workspace, numbers, { endedToo: true }), ({ room }) => room);
      return items.flatMap(({ room, creator, maxMembers }) => {
        const all = members.get(room) ?? [];
        // Who left is named only where nobody took the place.
        const [here, gone] = [all.filter((each) => each.endedAt === null), all.filter((each) => each.endedAt !== null)];
        const accounts = [...new Set([...here, ...gone].map((each) => each.account))].slice(0, 2);
        // Somebody else may still come into it: until then it is no conversation.
        if (accounts.length === 1 && !wire.isAlone({ maxMembers })) return [];
        return [wire.conversationOf(room, creator, accounts)];
      });
    },
  });

  addRoute(app, {
    method: 'GET',
    path: '/messages',
    summary: 'List the messages of a conversation, oldest first',
    tags: ['Messages'],
    security,
    query: wire.messagesQuery,
    answers: { 200: wire.messages, 422: wire.fieldsRefused },
    onRequest: guard,
    async handler(request, reply) {
      const { account } = userOf(request);
      const query = wire.objectOf(request.query);
      const last = (value: unknown) => (Array.isArray(value) ? value.at(-1) : value);
      const room = wire.readId(
        wire.required({ conv: last(query.conv), conv_id: last(query.conv_id) }, 'conv', 'conv_id'),
      );
      await waitForRows(options, request, reply);
      const state = room === null ? null : await rooms.stateOf(workspace, room);
      if (room === null || !state?.exists || state.kind !== 'private' || !memberOf(state.members, account)) return [];
      const found = await messagesOf(db, { workspace, viewer: account, rooms: [room], order: 'asc' });
      return found.map((view) => wire.messageOf(room, view.sender, view.body?.text ?? '', view.postedAt));
    },
  });
}
