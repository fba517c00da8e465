import type { AccountState } from './account-state.ts';
import type { Sequence } from './frames.ts';
import type { Closing } from './socket-dialect.ts';
import type { Subscriber, SubscriberListener } from './subscriber.ts';
import type { Due } from './wheel.ts';

/** One open socket or event stream, as its dialect sees it. */
export interface Session<Context> {
  readonly workspace: number;
  readonly account: number;
  /** What the dialect keeps with it. */
  readonly context: Context;
  /** No other connection of the account was open when this one was, in any process, as far as is known. */
  readonly first: boolean;
  /** Everything that it may see up to and including this position has been sent. */
  readonly position: bigint;
  /** False before what it missed has been sent, and after its end. */
  readonly live: boolean;
  /** It is closing or has ended: what is sent goes nowhere. */
  readonly closed: boolean;
  /** What it missed since its position follows, then what happens. To be called once, after the frames that come first. */
  start(): void;
  /** Sends a frame of the dialect's own: an answer, a greeting. */
  send(text: string): void;
  /** Closes it. */
  close(closing: Closing): void;
  /**
   * Follows a room from now on, before `start` from its position on: one that the account is a member of and the session had
   * left aside, or any other room, which is up to the dialect to allow.
   */
  follow(room: number): void;
  /** Leaves a room aside; the account's membership stays what it is. */
  unfollow(room: number): void;
  /** Whether what happens in the room is sent to it. */
  follows(room: number): boolean;
  followTopic(topic: string): void;
  unfollowTopic(topic: string): void;
}

/** `opening`: its lease is asked for. `joining`: what it missed is being sent. */
export type SessionState = 'opening' | 'joining' | 'live' | 'closing' | 'ended';

/** What a session needs of its hub. */
export interface SessionHub<Context> {
  readonly position: bigint;
  start(session: HubSession<Context>): void;
  sendText(session: HubSession<Context>, text: string): void;
  close(session: HubSession<Context>, closing: Closing): void;
  writePending(session: HubSession<Context>): void;
  discard(session: HubSession<Context>): void;
  ended(session: HubSession<Context>, clean: boolean): void;
  due(session: HubSession<Context>, nowMs: number): void;
  enterRoom(session: HubSession<Context>, room: number): void;
  exitRoom(session: HubSession<Context>, room: number): void;
  enterTopic(session: HubSession<Context>, topic: string): void;
  exitTopic(session: HubSession<Context>, topic: string): void;
}

const noRooms: ReadonlyMap<number, bigint> = new Map();
const noTopics: ReadonlySet<string> = new Set();

/** What a session is opened with. */
export interface SessionParts<Context> {
  readonly hub: SessionHub<Context>;
  readonly state: AccountState<HubSession<Context>>;
  readonly subscriber: Subscriber;
  readonly context: Context;
  readonly credential: string;
  readonly expiresAtMs: number;
  /** Only these rooms; all memberships when null. */
  readonly only: readonly number[] | null;
  readonly topics: readonly string[];
  readonly maxItems: number;
}

/** A session as the hub handles it. Few fields, and none of them a closure: there are thousands. */
export class HubSession<Context> implements Session<Context>, SubscriberListener, Due {
  readonly subscriber: Subscriber;
  readonly state: AccountState<HubSession<Context>>;
  readonly context: Context;
  readonly credential: string;
  /** When its credential expires, monotonic milliseconds. */
  readonly expiresAtMs: number;
  first = false;
  stage: SessionState = 'opening';
  /** Until it is live: everything up to here was sent. Afterwards: where it ended. */
  sentUpTo = 0n;
  /** The peer has everything up to here, for certain. */
  confirmed = 0n;
  /** Where it was when the ping was sent that is to be answered next. */
  pinged = 0n;
  pingAnswered = true;
  /** Where a live one stands that is not sent all that it was offered. */
  heldAt: bigint | null = null;
  /** Items that a resumption may have at most; 0: no limit. */
  readonly maxItems: number;
  started = false;
  /** Number of its connection in this process's leases; -1 before and after. */
  lease = -1;
  /** The last entry it was offered: one that reaches it in two ways is sent once. */
  lastSeq = -1;
  /** What the next flush writes; null for nothing. */
  pending: Sequence | null = null;
  dueMs = 0;
  slot: Set<Due> | null = null;
  /** When it was last seen to be alive, or pinged, monotonic milliseconds; bytes received by then. */
  heardMs = 0;
  heardBytes = 0;
  /** Pinged, and not yet looked at again. */
  onProbation = false;
  topics: ReadonlySet<string>;
  extraRooms: ReadonlyMap<number, bigint> = noRooms;
  readonly #hub: SessionHub<Context>;
  #only: Set<number> | null;
  #aside: Set<number> | null = null;

  constructor(parts: SessionParts<Context>) {
    this.#hub = parts.hub;
    this.state = parts.state;
    this.subscriber = parts.subscriber;
    this.context = parts.context;
    this.credential = parts.credential;
    this.expiresAtMs = parts.expiresAtMs;
    this.#only = parts.only === null ? null : new Set(parts.only);
    this.maxItems = parts.maxItems;
    this.topics = parts.topics.length === 0 ? noTopics : new Set(parts.topics);
  }

  get workspace(): number {
    return this.state.workspace;
  }

  get account(): number {
    return this.state.account;
  }

  get live(): boolean {
    return this.stage === 'live';
  }

  get closed(): boolean {
    return this.stage === 'closing' || this.stage === 'ended';
  }

  get position(): bigint {
    return this.stage === 'live' ? (this.heldAt ?? this.#hub.position) : this.sentUpTo;
  }

  start(): void {
    this.#hub.start(this);
  }

  send(text: string): void {
    this.#hub.sendText(this, text);
  }

  close(closing: Closing): void {
    this.#hub.close(this, closing);
  }

  ended(clean: boolean): void {
    this.#hub.ended(this, clean);
  }

  due(nowMs: number): void {
    this.#hub.due(this, nowMs);
  }

  ponged(): void {
    this.pingAnswered = true;
    if (this.pinged > this.confirmed) this.confirmed = this.pinged;
  }

  /** Whether it follows the room while its account is a member. */
  wants(room: number): boolean {
    return (this.#only === null || this.#only.has(room)) && !(this.#aside?.has(room) ?? false);
  }

  follows(room: number): boolean {
    return this.extraRooms.has(room) || (this.state.rooms.has(room) && this.wants(room));
  }

  follow(room: number): void {
    this.#aside?.delete(room);
    this.#only?.add(room);
    if (!this.state.rooms.has(room)) {
      const from = this.started ? this.#hub.position : this.sentUpTo;
      this.extraRooms = new Map(this.extraRooms).set(room, from);
    }
    this.#hub.enterRoom(this, room);
  }

  unfollow(room: number): void {
    this.#only?.delete(room);
    if (this.#only === null) {
      this.#aside ??= new Set();
      this.#aside.add(room);
    }
    this.dropExtra(room);
    this.#hub.exitRoom(this, room);
  }

  /** A room that it followed without being a member, or before it was known to be one. */
  dropExtra(room: number): void {
    if (!this.extraRooms.has(room)) return;
    const left = new Map(this.extraRooms);
    left.delete(room);
    this.extraRooms = left.size === 0 ? noRooms : left;
  }

  followTopic(topic: string): void {
    this.topics = new Set(this.topics).add(topic);
    this.#hub.enterTopic(this, topic);
  }

  unfollowTopic(topic: string): void {
    const left = new Set(this.topics);
    left.delete(topic);
    this.topics = left.size === 0 ? noTopics : left;
    this.#hub.exitTopic(this, topic);
  }
}
