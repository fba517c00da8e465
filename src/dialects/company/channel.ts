import { roomHistory } from '../../../projections/history.ts';
import { membershipSpans } from '../../../projections/rooms/queries.ts';
import type { RoomState } from '../../commands/index.ts';
import {
  type CloseCause,
  type Closing,
  type HistoryItem,
  type Revocation,
  type Route,
  type SocketDialect,
  webSocketText,
} from '../../gateway/index.ts';
import { BoundedMap } from '../../platform/bounded-map.ts';
import { roomRoute } from '../room-routes.ts';
import { type Ref, spell, type Version } from './frames.ts';
import type { CompanyOptions } from './options.ts';
import { DIALECT } from './routes.ts';
import { isAlone, messageOf } from './wire.ts';

/** The one topic that can be joined. */
export const TOPIC = 'room:chat';
/** A socket that sent nothing for so long is dropped (sheet, section 5). */
const silenceMs = 60_000;
/** Rooms remembered for spelling: as many as the gateway's ring may have events. */
const maxRooms = 20_000;

/** What the dialect keeps with a socket. */
export interface ChannelContext {
  readonly version: Version;
  /** The join that holds; undefined while there is none: nothing is pushed then. */
  joinRef: Ref | undefined;
}

interface Spoken extends HistoryItem {
  readonly room: number;
  readonly message: number;
  readonly sender: number;
  readonly text: string;
  readonly at: number;
}

type Event = Parameters<SocketDialect<ChannelContext>['route']>[0];

/** How the gateway is to close, by cause. The stock clients come back whatever the code, 1000 too, and are refused then. */
export const closings: Readonly<Record<CloseCause, Closing>> = {
  slow: { code: 1013, reason: 'too slow' },
  revoked: { code: 1000, reason: 'token ended' },
  drained: { code: 1012, reason: 'restarting' },
  fault: { code: 1011, reason: 'internal error' },
};

/**
 * Messages of conversations as the gateway pushes them: to those who joined, but their sender; of rooms that are no
 * conversation nothing. A push belongs to no join, as Phoenix's own broadcasts, so that all sockets of a version share it.
 */
export function companyChannel({
  rooms,
  db,
  config: { workspace },
}: CompanyOptions): SocketDialect<ChannelContext, Spoken> {
  const shapes = new BoundedMap<number, Pick<RoomState, 'kind' | 'maxMembers'>>(maxRooms);
  const learn = (numbers: readonly number[]): Promise<void> | undefined => {
    const loads: Promise<void>[] = [];
    for (const room of new Set(numbers)) {
      const state = rooms.stateOf(workspace, room);
      if (state instanceof Promise) loads.push(state.then((loaded) => note(room, loaded)));
      else note(room, state);
    }
    return loads.length === 0 ? undefined : Promise.all(loads).then(() => {});
  };
  const note = (room: number, { kind, maxMembers }: RoomState) => {
    shapes.set(room, { kind, maxMembers });
  };
  const isShown = (room: number, sender: number, session: { readonly account: number; context: ChannelContext }) => {
    if (session.context.joinRef === undefined) return false;
    const shape = shapes.get(room);
    if (!shape) throw new Error('a room that is not known');
    return shape.kind === 'private' && (sender !== session.account || isAlone(shape));
  };
  return {
    name: DIALECT,
    encoding: webSocketText,
    heartbeat: { intervalMs: silenceMs, graceMs: 0, ping: 'none' },
    route: (event) => routeOf(event, workspace),
    variant: (event, session) =>
      event.type === 'MessagePosted' && isShown(event.data.room, event.data.sender, session)
        ? session.context.version
        : null,
    frames(event, version) {
      if (event.type !== 'MessagePosted') return [];
      const { message, room, sender, body } = event.data;
      return [push(version as Version, message, messageOf(room, sender, body.text, event.at))];
    },
    prepare: (events) => learn(events.flatMap((event) => (event.type === 'MessagePosted' ? [event.data.room] : []))),
    memberships: (of, since) => membershipSpans(db, of, since),
    async history({ account }, after, maxItems) {
      const { items, upTo } = await roomHistory(db, { workspace, account, after, maxItems, kinds: ['posted'] });
      await learn(items.map(({ room }) => room));
      const spoken = items.map(({ position, room, message, account: sender, view, at }) => {
        return { position, room, message: message ?? 0, sender, text: view?.body?.text ?? '', at };
      });
      return { items: spoken, upTo };
    },
    itemFrames({ room, message, sender, text, at }, session) {
      if (!isShown(room, sender, session)) return [];
      return [push(session.context.version, message, messageOf(room, sender, text, at))];
    },
    revokes: (event) => revocationOf(event, workspace),
    closing: (cause) => closings[cause],
  };
}

function push(version: Version, id: number, message: object): string {
  const payload = { message: { id, ...message } };
  return spell(version, { joinRef: null, ref: null, topic: TOPIC, event: 'receive_msg', payload });
}

/** Whom an event is for: messages for the members of their room, and what changes who that is. */
function routeOf(event: Event, workspace: number): Route | null {
  const route = roomRoute(event);
  return route?.workspace === workspace ? route : null;
}

/** Tokens that an event ends: a session's own, or all of an account. */
function revocationOf(event: Event, workspace: number): Revocation | null {
  switch (event.type) {
    case 'SessionEnded':
      return event.data.workspace === workspace ? { workspace, credential: event.data.session } : null;
    case 'AccountDeactivated':
    case 'AccountDeleted':
      return event.data.workspace === workspace ? { workspace, account: event.data.account } : null;
    default:
      return null;
  }
}
