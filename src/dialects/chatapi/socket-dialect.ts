import { latestHistory, roomHistory } from '../../../projections/history.ts';
import { membershipSpans } from '../../../projections/rooms/queries.ts';
import { SERVICE_ACCOUNT } from '../../commands/index.ts';
import {
  type CloseCause,
  type Closing,
  type FramePositions,
  type Revocation,
  type Route,
  type Session,
  type SocketDialect,
  webSocketText,
} from '../../gateway/index.ts';
import { roomRoute } from '../room-routes.ts';
import type { Context } from './context.ts';
import { DIALECT } from './routes.ts';
import { type ShownItem, SocketEvents } from './socket-events.ts';
import { spellFrame } from './socket-frames.ts';

/** What the dialect keeps with a socket. */
export interface SocketContext {
  /** Opened with a master key. */
  readonly isMaster: boolean;
  /** The name that whoever opened it with a master key gave. */
  readonly name: string | null;
  /** The rooms that it was narrowed to, and joined since; null: all that its account is a member of, but those it left. */
  only: readonly number[] | null;
  /** Rooms that it follows without being a member. */
  extra: readonly number[];
}

type Event = Parameters<SocketDialect<SocketContext>['route']>[0];

/** How the gateway closes, by cause (sheet, section 12). */
export const closings: Readonly<Record<CloseCause, Closing>> = {
  slow: { code: 4008, reason: 'too slow' },
  revoked: { code: 4001, reason: 'the key has ended' },
  drained: { code: 1001, reason: 'the server is going away' },
  fault: { code: 1011, reason: 'internal error' },
};

const heartbeat = { intervalMs: 30_000, graceMs: 15_000, ping: 'protocol' } as const;

/** Sockets of ChatAPI as the gateway sees them: what happens in rooms, shown to whoever follows them. */
export function socketDialect(context: Context): SocketDialect<SocketContext, ShownItem> {
  const { db, clock } = context.options;
  const events = new SocketEvents(context);
  const historyOf = (
    { workspace, account, context: { only, extra } }: Session<SocketContext>,
    after: bigint,
    maxItems: number,
  ) => ({ workspace, account, after, maxItems, rightToSee: extra, ...(only !== null && { rooms: only }) });
  return {
    name: DIALECT,
    encoding: webSocketText,
    heartbeat,
    route: routeOf,
    variant: (event, session) => events.variant(event, session),
    frames: (event, variant, positions) => events.frames(event, variant, positions),
    prepare: (all) => events.prepare(all),
    memberships: (of, since) => membershipSpans(db, of, since),
    async history(session, after, maxItems) {
      const { items, upTo } = await roomHistory(db, historyOf(session, after, maxItems));
      return { items: await events.named(session.workspace, items), upTo };
    },
    latest: (session, after, maxItems) => latestHistory(db, historyOf(session, after, maxItems)),
    itemFrames: (item, session, positions: FramePositions) => events.itemFrames(item, session, positions),
    revokes(event) {
      if (event.type === 'AccountDeleted') events.forget(event.data.workspace, event.data.account);
      return revocationOf(event);
    },
    drainFrame: (_session, { reconnectAfterMs, position }) =>
      spellFrame('server.shutdown', { reconnect_after_ms: reconnectAfterMs, position }, { at: clock.now(), position }),
    closing: (cause) => closings[cause],
  };
}

/** Whom an event is for. */
function routeOf(event: Event): Route | null {
  switch (event.type) {
    case 'MessagePosted': {
      const { workspace, audience } = event.data;
      // A master key's sockets see everything in the rooms that they follow.
      if (audience !== null) return { workspace, accounts: [SERVICE_ACCOUNT, ...audience.receivers] };
      return roomRoute(event);
    }
    case 'MessageEdited':
    case 'WatermarkMoved':
    case 'NotificationShown': {
      const { workspace, room } = event.data;
      return { workspace, room };
    }
    case 'WorkspaceDeleted': {
      const { workspace } = event.data;
      return { workspace, voidsWhere: ({ data }) => 'workspace' in data && data.workspace === workspace };
    }
    default:
      return roomRoute(event);
  }
}

/** Names a master key to the gateway. */
export function masterCredential(key: number): string {
  return `key-${key}`;
}

/** Names an account's scoped key to the gateway, by when it was issued: it has one at a time. */
export function scopedCredential(issuedAt: number): string {
  return `scoped-${issuedAt}`;
}

/** When a scoped key was issued, milliseconds since the epoch; null for other credentials. */
function issuedAtOf(credential: string): number | null {
  const at = /^scoped-(\d+)$/.exec(credential)?.[1];
  return at === undefined ? null : Number(at);
}

/** Keys that an event ends: one key, those of an account, those of a client. */
function revocationOf(event: Event): Revocation | null {
  switch (event.type) {
    case 'KeyRevoked':
      return { workspace: event.data.workspace, credential: masterCredential(event.data.key) };
    case 'ScopedKeyIssued':
    case 'ScopedKeyRevoked': {
      const { workspace, account } = event.data;
      const firstSpared = event.type === 'ScopedKeyIssued' ? event.at : event.at + 1;
      return { workspace, account, spares: (credential) => (issuedAtOf(credential) ?? firstSpared) >= firstSpared };
    }
    case 'AccountDeactivated':
    case 'AccountDeleted':
      return { workspace: event.data.workspace, account: event.data.account };
    case 'WorkspaceChanged':
      return event.data.isActive === false ? { workspace: event.data.workspace } : null;
    case 'WorkspaceDeleted':
      return { workspace: event.data.workspace };
    default:
      return null;
  }
}
