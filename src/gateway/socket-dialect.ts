/** What a dialect tells the gateway of its sockets and event streams: whom an event is for, and how it is spelled. */
import type { RecordedEvent } from '../log/log.ts';
import type { Encoding } from './frames.ts';
import type { Session } from './session.ts';

/**
 * Whom an event is for. Everybody named gets it once; nobody named at all is fine where only membership or the ring is
 * concerned.
 */
export interface Route {
  readonly workspace: number;
  /** Every session that follows the room, and the room that `joined`, `left` and `closesRoom` speak of. */
  readonly room?: number;
  /** Every session of these accounts, whatever rooms they are in. */
  readonly accounts?: readonly number[];
  /** Every session that follows one of these names of the dialect's own. */
  readonly topics?: readonly string[];
  /** Every session of the workspace. */
  readonly everyone?: boolean;
  /** They are members of `room` from this event on, which they see. */
  readonly joined?: readonly number[];
  /** They are members of `room` up to and including this event. */
  readonly left?: readonly number[];
  /** All memberships of `room` end with this event. */
  readonly closesRoom?: boolean;
  /** Streams whose earlier events are shown to nobody from here on: their content does not exist any more. */
  readonly voids?: readonly string[];
  /** Finds more such events. The whole ring is looked through: for what is rare (an account, a room is erased). */
  readonly voidsWhere?: (earlier: RecordedEvent) => boolean;
}

/** Names one way to spell an event. Sessions with the same variant get the same bytes. */
export type Variant = string | number;

/** Positions, spelled as decimal strings, for the frames of one event. */
export interface FramePositions {
  /** For all frames but the last: everything up to here, and nothing of this event, has been sent. */
  readonly before: string;
  /** For the last frame: the event's own. */
  readonly at: string;
}

/** A membership of an account, by positions of the log. */
export interface MembershipSpan {
  readonly room: number;
  /** Position of the event that started it. */
  readonly from: bigint;
  /** Position of the event that ended it; null while it lasts. */
  readonly to: bigint | null;
}

/** An account, by workspace and number. */
export interface AccountRef {
  readonly workspace: number;
  readonly account: number;
}

/** One thing that happened, as the read model has it. */
export interface HistoryItem {
  readonly position: bigint;
  /** Left out for sessions that do not follow it; absent for what concerns no room. */
  readonly room?: number;
}

/** A page of history, oldest first. */
export interface HistoryPage<Item extends HistoryItem> {
  readonly items: readonly Item[];
  /**
   * Everything that the account could see after the position asked for, up to and including this one, is in `items`: the
   * last item's when more follow, the read model's checkpoint when none do, never less than the position asked for.
   */
  readonly upTo: bigint;
}

/** Credentials that an event ends. Without `account` and `credential`, all sessions of the workspace. */
export interface Revocation {
  readonly workspace: number;
  /** All sessions of this account. */
  readonly account?: number;
  /** All sessions that were opened with this credential. */
  readonly credential?: string;
  /** Not those that were opened with such a credential: with the one, say, that took the place of those revoked. */
  readonly spares?: (credential: string) => boolean;
}

/** Why the gateway closes a session. */
export type CloseCause =
  /** It does not take what it is sent. It may come back and resume. */
  | 'slow'
  /** Its credential was revoked, or has expired. */
  | 'revoked'
  /** This process drains, or the read model lags. It may come back and resume. */
  | 'drained'
  /** Our fault: what it is to be shown cannot be found out or spelled. It may come back and resume. */
  | 'fault';

/** How a socket is closed; an event stream has no code and just ends. */
export interface Closing {
  readonly code: number;
  /** At most 123 bytes. */
  readonly reason: string;
}

/** How life is looked for. Times in milliseconds. */
export interface Heartbeat {
  /** Time between two pings, or that a peer which is not pinged may be silent. */
  readonly intervalMs: number;
  /** A peer that sent nothing for so long after a ping is cut. */
  readonly graceMs: number;
  /** A ping of the protocol, nothing (the peer says something by itself), or a frame of the dialect, which wants no answer. */
  readonly ping: 'protocol' | 'none' | { readonly frame: string };
}

/**
 * A dialect's sockets. Functions without a promise are called for every event on the way to every socket: they look things
 * up in memory or not at all, and do not throw (one that does closes the session as `fault`).
 *
 * `Context` is what the dialect keeps with a session, `Item` a thing of its read model.
 */
export interface SocketDialect<Context, Item extends HistoryItem = HistoryItem> {
  /** For gauges. */
  readonly name: string;
  readonly encoding: Encoding;
  readonly heartbeat: Heartbeat;
  /** Whom the event is for; null for nobody. */
  route(event: RecordedEvent): Route | null;
  /** How the event is spelled for this session; null when it is not shown to it. */
  variant(event: RecordedEvent, session: Session<Context>): Variant | null;
  /** The frames of one event, in order; none when there is nothing to say after all. */
  frames(event: RecordedEvent, variant: Variant, positions: FramePositions): readonly string[];
  /**
   * Loads what `frames` will look up (names, say) for events that somebody is about to be shown; undefined when all is
   * there. When it rejects, `frames` has to do without.
   */
  prepare?(events: readonly RecordedEvent[]): Promise<void> | undefined;
  /**
   * The account's memberships as the read model has them: all that last, and all that ended after `since`. `upTo` is the
   * position that the answer is true for.
   */
  memberships(of: AccountRef, since: bigint): Promise<{ spans: readonly MembershipSpan[]; upTo: bigint }>;
  /**
   * What the session's account could see, when it happened, after a position: at most `maxItems`, by an index, never by
   * reading the log. Content that exists no more is left out or a tombstone.
   */
  history(session: Session<Context>, after: bigint, maxItems: number): Promise<HistoryPage<Item>>;
  /** The frames of one item of history. */
  itemFrames(item: Item, session: Session<Context>, positions: FramePositions): readonly string[];
  /** A position, not before `after`, after which the read model has at most `maxItems` for the session. */
  latest?(session: Session<Context>, after: bigint, maxItems: number): Promise<bigint>;
  /** The credentials that an event ends: its sessions see the event itself before they are closed. */
  revokes?(event: RecordedEvent): Revocation | null;
  /** The last frame before a close as `drained`; null for none. */
  drainFrame?(
    session: Session<Context>,
    drain: { readonly reconnectAfterMs: number; readonly position: string },
  ): string | null;
  closing(cause: CloseCause): Closing;
  /** A session has ended. `last`: its account has no other connection, in any process, as far as is known. */
  ended?(session: Session<Context>, about: { readonly last: boolean }): void;
}
