/** Who is online, for those who may know: in all processes, as the leases of connections tell. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { listAccounts } from '../../../projections/accounts/queries.ts';
import { accountsIn, membershipSpans } from '../../../projections/rooms/queries.ts';
import { SERVICE_ACCOUNT } from '../../commands/index.ts';
import { type Context, orNotFound } from './context.ts';
import { callerOf } from './credentials.ts';
import type { Renderer } from './rendering.ts';
import { roomOfPath } from './rooms.ts';
import { addRoute } from './routes.ts';
import * as wire from './wire.ts';

/** People, and who of them is online. */
export interface Crowd {
  readonly online: ReadonlySet<number>;
  /** Ids of those online as the wire spells them, by account, at most 1,000. */
  readonly listed: readonly string[];
  readonly participants: number;
}

/** Ids in one answer. */
const maxListed = 1_000;
/** People of whom it is asked at once. */
const maxPeople = 50_000;
/** Later than every event. */
const afterAll = 2n ** 63n - 1n;

/** Asks for the same at the same time share an answer that began after each of them was made. */
class Shared<T> {
  readonly #underWay = new Map<string, { readonly current: Promise<T>; next: Promise<T> | null }>();

  ask(key: string, find: () => Promise<T>): Promise<T> {
    const found = this.#underWay.get(key);
    if (found === undefined) return this.#begin(key, find);
    const over = () => this.#begin(key, find);
    found.next ??= found.current.then(over, over);
    return found.next;
  }

  #begin(key: string, find: () => Promise<T>): Promise<T> {
    const underWay = { current: find(), next: null };
    this.#underWay.set(key, underWay);
    const done = () => {
      if (underWay.next === null) this.#underWay.delete(key);
    };
    underWay.current.then(done, done);
    return underWay.current;
  }
}

/** Answers who is online. Rejects when storage is away. */
export class Crowds {
  readonly #context: Context;
  readonly #shared = new Shared<Crowd>();

  constructor(context: Context) {
    this.#context = context;
  }

  /** The members of a room. */
  ofRoom(workspace: number, room: number): Promise<Crowd> {
    return this.#shared.ask(`${workspace}/${room}`, async () => {
      const { members } = await this.#context.options.rooms.stateOf(workspace, room);
      return this.#among(
        workspace,
        members.map(({ account }) => account),
      );
    });
  }

  /** Everybody in the rooms that an account is a member of. */
  async around(workspace: number, account: number): Promise<Crowd> {
    const { db, freshness } = this.#context.options;
    await freshness.waitFor({ workspace, atLeast: undefined });
    const { spans } = await membershipSpans(db, { workspace, account }, afterAll);
    const rooms = spans.map(({ room }) => room).sort((a, b) => a - b);
    const [only, ...others] = rooms;
    if (only === undefined) return this.#among(workspace, [account]);
    if (others.length === 0) return this.ofRoom(workspace, only);
    return this.#shared.ask(`${workspace}/${rooms}`, async () =>
      this.#among(workspace, await accountsIn(db, workspace, rooms, maxPeople)),
    );
  }

  /** The users of a client. */
  ofClient(workspace: number): Promise<Crowd> {
    return this.#shared.ask(`${workspace}`, async () => {
      const { db, presence } = this.#context.options;
      const [online, { total }] = await Promise.all([
        presence.onlineIn(workspace, maxPeople),
        listAccounts(db, { workspace, kinds: ['person', 'bot'] }, { limit: 1, offset: 0 }),
      ]);
      return this.#crowd(workspace, new Set(online.filter((account) => account !== SERVICE_ACCOUNT)), total);
    });
  }

  async #among(workspace: number, accounts: readonly number[]): Promise<Crowd> {
    const online = await this.#context.options.presence.online(workspace, accounts.slice(0, maxPeople));
    return this.#crowd(workspace, online, accounts.length);
  }

  #crowd(workspace: number, online: ReadonlySet<number>, participants: number): Crowd {
    const { spelling } = this.#context;
    const listed = [...online].sort((a, b) => a - b).slice(0, maxListed);
    return { online, listed: listed.map((account) => spelling.user(workspace, account)), participants };
  }
}

/** What is told of a crowd, by the request and by the frame. */
export function onlineUsers({ online, listed }: Crowd): { online_users: readonly string[]; total_online: number } {
  return { online_users: listed, total_online: online.size };
}

const onlineShown = z.object({
  online_users: z.array(z.string().meta({ format: 'uuid' })).describe('At most 1,000'),
  total_online: z.int().min(0),
});

/** The request that tells who is online in a room (sheet, section 8). */
export function onlineRoute(app: FastifyInstance, context: Context, render: Renderer, crowds: Crowds): void {
  addRoute(app, context, {
    method: 'GET',
    path: '/rooms/:room_id/online',
    summary: 'Who is online in a room',
    description: 'The members that have a socket open, through whatever API.',
    tags: ['Rooms'],
    access: { who: 'any' },
    answers: { 200: wire.one(onlineShown) },
    refusals: [403, 404],
    async handler(request) {
      const caller = callerOf(request);
      const room = roomOfPath(context, request, caller);
      await orNotFound('Room', context.options.rooms.readable(caller.actor, room));
      return render.one(onlineUsers(await crowds.ofRoom(caller.workspace, room)));
    },
  });
}
