import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import {
  findRoom,
  listRooms,
  listRoomsOf,
  type RoomFilter,
  type RoomView,
} from '../../../projections/rooms/queries.ts';
import type { ChangedRoom, RoomState } from '../../commands/index.ts';
import { type Context, keyedBy, known, orNotFound } from './context.ts';
import { type Caller, callerOf } from './credentials.ts';
import { invalidField, notFound } from './errors.ts';
import { listQuery, pageAsked, queryFlag, queryOf, queryText, readAll, sortAsked, waitForRows } from './reading.ts';
import { kindOfType, type Renderer } from './rendering.ts';
import { addRoute, param, tellPosition } from './routes.ts';
import { Tombstones } from './tombstones.ts';
import * as wire from './wire.ts';

const tags = ['Rooms'];
const columns: Readonly<Record<string, NonNullable<RoomFilter['sort']>>> = {
  last_message_at: 'activity',
  created_at: 'created',
  updated_at: 'updated',
  name: 'name',
};
/** A direct room is between two. */
const maxDirectMembers = 2;
const order = 'Unless told: the last message first, rooms without one last, then the newest.';

/** Routes of the sheet's section 8 about rooms themselves. */
export function roomRoutes(app: FastifyInstance, context: Context, render: Renderer): void {
  const { options } = context;
  const { rooms, db, freshness, config } = options;
  const tombstones = new Tombstones(context, render);
  const inactivity = () => ({ nowMs: options.clock.now(), inactiveAfterMs: config.inactiveAfterMs });

  addRoute(app, context, {
    method: 'POST',
    path: '/rooms',
    summary: 'Create a room',
    description: 'Who creates it is its owner; a master key is no member.',
    tags,
    access: { who: 'any' },
    keyed: true,
    body: wire.createRoomBody,
    answers: { 201: wire.one(wire.roomCreated) },
    async handler(request, reply) {
      const caller = callerOf(request);
      const { actor, account, isMaster } = caller;
      const keyed = keyedBy(request, 'POST /rooms');
      const { name, description, meta, ...rest } = wire.readBody(wire.createRoomBody, request.body);
      const kind = kindOfType[rest.room_type ?? 'group'];
      const isDirect = kind === 'private';
      if (isDirect) checkDirect(rest.max_members);
      const most = rest.max_members ?? (isDirect ? maxDirectMembers : config.maxMembers);
      const { state, position, room } = await rooms.create(
        actor,
        {
          kind,
          joinPolicy: isDirect ? 'closed' : 'open',
          name: name ?? null,
          description: description ?? null,
          meta: meta ?? null,
          maxMembers: most === 0 ? null : most,
          members: isMaster ? [] : [{ account, roles: ['owner'] }],
        },
        keyed,
      );
      tellPosition(reply, position);
      reply.code(201);
      // What the key made is gone again.
      if (!state.exists) return render.one(await tombstones.room(caller, room, reply));
      return render.one(render.writtenRoom(state, position === null ? await counted(actor.workspace, room) : null));
    },
  });

  addRoute(app, context, {
    method: 'GET',
    path: '/rooms',
    summary: 'List the rooms of the key',
    description: `Those that the user is a member of; with a master key all. ${order}`,
    tags,
    access: { who: 'any' },
    query: listQuery(columns).extend({
      search: z.string().optional(),
      is_active: z.boolean().optional().describe('Default true'),
    }),
    answers: { 200: wire.list(wire.roomShown) },
    async handler(request, reply) {
      const caller = callerOf(request);
      const query = queryOf(request);
      const { page, order, search, isActive } = readAll({
        page: () => pageAsked(query),
        order: () => sorted(query),
        search: () => queryText(query, 'search'),
        isActive: () => queryFlag(query, 'is_active') ?? true,
      });
      const filter = {
        ...order,
        ...inactivity(),
        workspace: caller.workspace,
        isActive,
        ...(search !== undefined && { search }),
      };
      await waitForRows(freshness, caller, reply);
      const { items, total } = caller.isMaster
        ? await listRooms(db, filter, page)
        : await listRoomsOf(db, caller.account, filter, page);
      return render.list(
        items.map((view) => render.room(view)),
        page,
        total,
      );
    },
  });

  addRoute(app, context, {
    method: 'GET',
    path: '/rooms/all',
    summary: 'List all active rooms of the client',
    description: order,
    tags,
    access: { who: 'master' },
    query: listQuery(columns),
    answers: { 200: wire.list(wire.roomShown) },
    async handler(request, reply) {
      const caller = callerOf(request);
      const query = queryOf(request);
      const { page, order } = readAll({ page: () => pageAsked(query), order: () => sorted(query) });
      const filter = { ...order, ...inactivity(), workspace: caller.workspace, isActive: true };
      await waitForRows(freshness, caller, reply);
      const { items, total } = await listRooms(db, filter, page);
      return render.list(
        items.map((view) => render.room(view)),
        page,
        total,
      );
    },
  });

  addRoute(app, context, {
    method: 'GET',
    path: '/rooms/:room_id',
    summary: 'A room',
    tags,
    access: { who: 'any' },
    answers: { 200: wire.one(wire.roomShown) },
    refusals: [403, 404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const room = roomOfPath(context, request, caller);
      await orNotFound('Room', rooms.readable(caller.actor, room));
      await waitForRows(freshness, caller, reply);
      const view = await findRoom(db, caller.workspace, room, inactivity());
      if (!view) throw notFound('Room');
      return render.one(render.room(view));
    },
  });

  addRoute(app, context, {
    method: 'PUT',
    path: '/rooms/:room_id',
    summary: 'Change a room',
    description: 'For its owners and admins.',
    tags,
    access: { who: 'any' },
    body: wire.changeRoomBody,
    answers: { 200: wire.one(wire.roomShown) },
    refusals: [403, 404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const room = roomOfPath(context, request, caller);
      const before = await orNotFound('Room', rooms.readable(caller.actor, room));
      const body = wire.readBody(wire.changeRoomBody, request.body);
      const { name, description, meta, max_members: maxMembers } = body;
      if (before.kind === 'private' && maxMembers !== undefined) checkDirect(maxMembers ?? maxDirectMembers + 1);
      const changes = { name, description, meta, maxMembers };
      if (Object.values(changes).every((value) => value === undefined)) return shown(caller, before);
      const changed = await orNotFound('Room', rooms.change(caller.actor, room, changes));
      tellPosition(reply, changed.position);
      return shown(caller, changed.state);
    },
  });

  addRoute(app, context, {
    method: 'DELETE',
    path: '/rooms/:room_id',
    summary: 'Delete a room with its messages',
    description: 'For its owners and admins.',
    tags,
    access: { who: 'any' },
    answers: { 204: wire.nothing },
    refusals: [403, 404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const room = roomOfPath(context, request, caller);
      const { position } = await orNotFound('Room', rooms.delete(caller.actor, room, { erase: true }));
      tellPosition(reply, position);
      return reply.code(204).send();
    },
  });

  /** Switches a room off or on. */
  function switching(
    word: 'deactivate' | 'activate',
    summary: string,
    act: (caller: Caller, room: number, body: unknown) => Promise<ChangedRoom>,
  ): void {
    addRoute(app, context, {
      method: 'POST',
      path: `/rooms/:room_id/${word}`,
      summary,
      description: 'For its owners and admins.',
      tags,
      access: { who: 'any' },
      ...(word === 'deactivate' && { body: wire.deactivateBody }),
      answers: { 200: wire.one(wire.roomShown) },
      refusals: [400, 403, 404],
      async handler(request, reply) {
        const caller = callerOf(request);
        const room = roomOfPath(context, request, caller);
        const { state, position } = await orNotFound('Room', act(caller, room, request.body));
        tellPosition(reply, position);
        return shown(caller, state);
      },
    });
  }
  switching('deactivate', 'Deactivate a room: it refuses messages', async ({ actor }, room, body) => {
    const { reason = 'manual' } = wire.readBody(wire.deactivateBody, body);
    // That word is the rule's, which a message undoes.
    if (reason === 'auto_inactive') throw invalidField('reason', 'Is reserved');
    return rooms.deactivate(actor, room, reason);
  });
  switching('activate', 'Activate a room', ({ actor }, room) => rooms.activate(actor, room));

  async function shown(caller: Caller, state: RoomState) {
    return render.one(render.writtenRoom(state, await counted(caller.workspace, state.room)));
  }

  /** What only rows know of a room. */
  function counted(workspace: number, room: number): Promise<RoomView | null> {
    return findRoom(db, workspace, room, inactivity());
  }

  function sorted(query: Parameters<typeof sortAsked>[0]) {
    const { sort = 'activity', order: direction } = sortAsked(query, columns);
    return { sort, order: direction };
  }
}

/** The room that the path names. */
export function roomOfPath({ spelling }: Context, request: FastifyRequest, { workspace }: Caller): number {
  return known(spelling.readRoom(workspace, param(request, 'room_id')), 'Room');
}

function checkDirect(maxMembers: number | null | undefined): void {
  if (maxMembers != null && maxMembers > maxDirectMembers)
    throw invalidField('max_members', `A direct room holds at most ${maxDirectMembers}`);
}
