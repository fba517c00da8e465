import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { findMember, listMembers, type MemberView } from '../../../projections/rooms/queries.ts';
import { type ChangedRoom, DomainError, type Member, memberOf, SERVICE_ACCOUNT } from '../../commands/index.ts';
import { type Context, known, orNotFound } from './context.ts';
import { type Caller, callerOf } from './credentials.ts';
import { invalidField, notFound, WireError } from './errors.ts';
import { pageAsked, pageQuery, queryOf, waitForRows } from './reading.ts';
import { nameOf, type Renderer } from './rendering.ts';
import { roomOfPath } from './rooms.ts';
import { addRoute, iso, param, tellPosition } from './routes.ts';
import * as wire from './wire.ts';

const tags = ['Rooms'];

/** Routes of the sheet's section 8 about who is in a room. */
export function memberRoutes(app: FastifyInstance, context: Context, render: Renderer): void {
  const { spelling, options } = context;
  const { rooms, people, db, freshness, clock } = options;

  addRoute(app, context, {
    method: 'POST',
    path: '/rooms/:room_id/join',
    summary: 'Join a room',
    description: 'With a scoped key oneself, where the room is open; with a master key any user.',
    tags,
    access: { who: 'any' },
    body: wire.joinBody.optional(),
    answers: { 200: wire.one(wire.joined.shape.data).extend({ message: wire.joined.shape.message }) },
    refusals: [400, 403, 404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const { workspace, actor } = caller;
      const room = roomOfPath(context, request, caller);
      const body = wire.readBody(wire.joinBody, request.body);
      const account = subject(caller, body.user_id);
      const meta = body.meta ?? undefined;
      const name = caller.isMaster ? body.user_name?.trim() : undefined;
      const work = rooms.join(actor, room, { account, ...(meta && { meta }), ...(name && { name }) });
      const joined = await orNotFound('Room', orUserNotFound(work));
      tellPosition(reply, joined.position);
      const member = memberOf(joined.state.members, account);
      return render.action('Joined the room', {
        room_id: spelling.room(workspace, room),
        ...(await written(workspace, account, member, meta)),
      });
    },
  });

  addRoute(app, context, {
    method: 'POST',
    path: '/rooms/:room_id/leave',
    summary: 'Leave a room',
    description: 'With a scoped key oneself; with a master key any user.',
    tags,
    access: { who: 'any' },
    body: wire.leaveBody.optional(),
    answers: { 200: wire.one(wire.left.shape.data).extend({ message: wire.left.shape.message }) },
    refusals: [400, 403, 404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const { workspace, actor } = caller;
      const room = roomOfPath(context, request, caller);
      const account = subject(caller, wire.readBody(wire.leaveBody, request.body).user_id);
      const { position, at } = await gone(rooms.leave(actor, room, { account }));
      tellPosition(reply, position);
      return render.action('Left the room', {
        room_id: spelling.room(workspace, room),
        user_id: spelling.user(workspace, account),
        user_name: await calledNow(workspace, account),
        left_at: iso(at),
      });
    },
  });

  addRoute(app, context, {
    method: 'GET',
    path: '/rooms/:room_id/participants',
    summary: 'Who is in a room',
    description: 'In the order in which they joined.',
    tags,
    access: { who: 'any' },
    query: pageQuery,
    answers: { 200: wire.list(wire.participantShown) },
    refusals: [403, 404],
    handler: (request, reply) => listed(request, reply, (workspace, view) => render.participant(workspace, view)),
  });

  addRoute(app, context, {
    method: 'GET',
    path: '/rooms/:room_id/members',
    summary: 'Who is in a room, with roles',
    description: 'In the order in which they joined.',
    tags,
    access: { who: 'any' },
    query: pageQuery,
    answers: { 200: wire.list(wire.memberShown) },
    refusals: [403, 404],
    handler: (request, reply) =>
      listed(request, reply, (workspace, view) => ({ ...render.participant(workspace, view), role: roleOf(view) })),
  });

  addRoute(app, context, {
    method: 'POST',
    path: '/rooms/:room_id/members',
    summary: 'Add a member',
    description: "For the room's owners and admins.",
    tags,
    access: { who: 'any' },
    body: wire.addMemberBody,
    answers: { 200: wire.one(wire.memberShown) },
    refusals: [400, 403, 404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const { workspace, actor } = caller;
      const room = roomOfPath(context, request, caller);
      const body = wire.readBody(wire.addMemberBody, request.body);
      const account = known(spelling.readUser(workspace, body.user_id), 'User');
      const meta = body.meta ?? undefined;
      const roles = body.role === undefined || body.role === 'member' ? [] : [body.role];
      const work = rooms.changeMembers(actor, room, { add: [{ account, roles, ...(meta && { meta }) }] });
      const { state, events, position } = await orNotFound('Room', orUserNotFound(work));
      if (events.length === 0) throw new WireError('ALREADY_IN_ROOM', 'The user is a member of this room already');
      tellPosition(reply, position);
      const member = memberOf(state.members, account);
      return render.one({
        ...(await written(workspace, account, member, meta)),
        role: roleOf(member ?? { roles }),
      });
    },
  });

  addRoute(app, context, {
    method: 'DELETE',
    path: '/rooms/:room_id/members/:user_id',
    summary: 'Remove a member',
    description: "Oneself, or anybody by the room's owners and admins.",
    tags,
    access: { who: 'any' },
    answers: { 204: wire.nothing },
    refusals: [400, 403, 404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const { actor } = caller;
      const room = roomOfPath(context, request, caller);
      const account = userOfPath(request, caller);
      const isOneself = account === caller.account;
      const work = isOneself ? rooms.leave(actor, room) : rooms.changeMembers(actor, room, { remove: [account] });
      const { position, events } = await (isOneself ? gone(work) : orNotFound('Room', work));
      if (events.length === 0) throw notFound('Member');
      tellPosition(reply, position);
      return reply.code(204).send();
    },
  });

  addRoute(app, context, {
    method: 'GET',
    path: '/rooms/:room_id/members/:user_id/role',
    summary: 'The role of a member',
    tags,
    access: { who: 'any' },
    answers: { 200: wire.one(wire.roleShown) },
    refusals: [403, 404],
    async handler(request, reply) {
      const caller = callerOf(request);
      const { workspace } = caller;
      const room = roomOfPath(context, request, caller);
      await orNotFound('Room', rooms.readable(caller.actor, room));
      const account = userOfPath(request, caller);
      await waitForRows(freshness, caller, reply);
      const member = await findMember(db, workspace, room, account);
      if (!member) throw notFound('Member');
      return render.one({ user_id: spelling.user(workspace, account), role: roleOf(member) });
    },
  });

  async function listed<T>(
    request: FastifyRequest,
    reply: FastifyReply,
    show: (workspace: number, view: MemberView) => T,
  ) {
    const caller = callerOf(request);
    const { workspace } = caller;
    const room = roomOfPath(context, request, caller);
    await orNotFound('Room', rooms.readable(caller.actor, room));
    const page = pageAsked(queryOf(request));
    await waitForRows(freshness, caller, reply);
    const { items, total } = await listMembers(db, workspace, room, page);
    return render.list(
      items.map((view) => show(workspace, view)),
      page,
      total,
    );
  }

  /** Whom joining and leaving is about: the user of a scoped key, whom a master key names. */
  function subject({ workspace, account, isMaster }: Caller, given: string | undefined): number {
    if (!isMaster) return account;
    if (given === undefined) throw invalidField('user_id', 'Field required');
    return known(spelling.readUser(workspace, given), 'User');
  }

  function userOfPath(request: FastifyRequest, { workspace }: Caller): number {
    return known(spelling.readUser(workspace, param(request, 'user_id')), 'User');
  }

  /** A member that was just let in. */
  async function written(
    workspace: number,
    account: number,
    member: Member | undefined,
    meta: Record<string, unknown> | undefined,
  ) {
    return {
      user_id: spelling.user(workspace, account),
      user_name: await calledNow(workspace, account),
      joined_at: iso(member?.joinedAt ?? clock.now()),
      meta: meta ?? null,
    };
  }

  async function calledNow(workspace: number, account: number): Promise<string> {
    return nameOf(await people.stateOf(workspace, account)) ?? `user${account}`;
  }
}

/** Who leaves a room without being in it is not found there (sheet, section 8). */
async function gone(work: Promise<ChangedRoom>): Promise<ChangedRoom> {
  try {
    return await orNotFound('Room', work);
  } catch (error) {
    if (error instanceof DomainError && error.code === 'not-a-member') throw notFound('Member');
    throw error;
  }
}

/** A `not-found` that is about a user says so. */
async function orUserNotFound<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const isUser = error instanceof DomainError && error.code === 'not-found' && error.details?.account !== undefined;
    if (isUser && error.details?.account !== SERVICE_ACCOUNT) throw notFound('User');
    throw error;
  }
}

function roleOf({ roles }: { readonly roles: readonly string[] }): 'owner' | 'admin' | 'member' {
  return roles.includes('owner') ? 'owner' : roles.includes('admin') ? 'admin' : 'member';
}
