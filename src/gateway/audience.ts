/** Who is to be shown what: live sessions, and entries of the ring, by room, topic, account and workspace. */
import type { AccountState } from './account-state.ts';
import { type Entry, Queue } from './ring.ts';
import type { HubSession } from './session.ts';
import type { Route } from './socket-dialect.ts';

/** One address that a route can name. */
export class Channel<Context> {
  /** Live sessions that are reached here. */
  readonly sessions = new Set<HubSession<Context>>();
  /** Entries of the ring that went here. */
  #entries: Queue<Entry> | null = null;

  get entries(): Queue<Entry> | null {
    return this.#entries;
  }

  push(entry: Entry): void {
    this.#entries ??= new Queue();
    this.#entries.push(entry);
  }

  /** The ring let go of its oldest entry. */
  drop(entry: Entry): void {
    if (this.#entries?.first() === entry) this.#entries.shift();
  }

  get unused(): boolean {
    return this.sessions.size === 0 && (this.#entries === null || this.#entries.length === 0);
  }
}

/** Channels by a key, made when first used and forgotten when nobody and nothing is in them. */
export class Channels<Key, Context> {
  readonly #channels = new Map<Key, Channel<Context>>();

  get size(): number {
    return this.#channels.size;
  }

  get(key: Key): Channel<Context> | undefined {
    return this.#channels.get(key);
  }

  push(key: Key, entry: Entry): void {
    this.#of(key).push(entry);
  }

  drop(key: Key, entry: Entry): void {
    const channel = this.#channels.get(key);
    channel?.drop(entry);
    if (channel?.unused) this.#channels.delete(key);
  }

  add(key: Key, session: HubSession<Context>): void {
    this.#of(key).sessions.add(session);
  }

  remove(key: Key, session: HubSession<Context>): void {
    const channel = this.#channels.get(key);
    channel?.sessions.delete(session);
    if (channel?.unused) this.#channels.delete(key);
  }

  #of(key: Key): Channel<Context> {
    let channel = this.#channels.get(key);
    if (channel === undefined) {
      channel = new Channel();
      this.#channels.set(key, channel);
    }
    return channel;
  }
}

/** One workspace: nothing of it is found from another. */
export class WorkspaceAudience<Context> {
  readonly rooms = new Channels<number, Context>();
  readonly topics = new Channels<string, Context>();
  /** Entries alone: the sessions of an account stand in its state. */
  readonly accounts = new Channels<number, Context>();
  readonly all = new Channel<Context>();
  readonly states = new Map<number, AccountState<HubSession<Context>>>();
  /** Every session, by what it was opened with; as a rule one by each. */
  readonly #byCredential = new Map<string, HubSession<Context> | Set<HubSession<Context>>>();

  /** Puts an entry where its route says. Answers in how many places it stands. */
  push(entry: Entry): number {
    const { room, topics, accounts, everyone } = entry.route;
    if (room !== undefined) this.rooms.push(room, entry);
    if (topics !== undefined) for (const topic of topics) this.topics.push(topic, entry);
    if (accounts !== undefined) for (const account of accounts) this.accounts.push(account, entry);
    if (everyone === true) this.all.push(entry);
    return 1 + (topics?.length ?? 0) + (accounts?.length ?? 0);
  }

  drop(entry: Entry): void {
    const { room, topics, accounts, everyone } = entry.route;
    if (room !== undefined) this.rooms.drop(room, entry);
    if (topics !== undefined) for (const topic of topics) this.topics.drop(topic, entry);
    if (accounts !== undefined) for (const account of accounts) this.accounts.drop(account, entry);
    if (everyone === true) this.all.drop(entry);
  }

  /** Calls with all sessions that a route names, together; a session may come several times, and need not be live. */
  eachSet(route: Route, call: (sessions: ReadonlySet<HubSession<Context>>) => void): void {
    const { room, topics, accounts, everyone } = route;
    const visit = (sessions: ReadonlySet<HubSession<Context>> | undefined) => {
      if (sessions !== undefined && sessions.size > 0) call(sessions);
    };
    if (room !== undefined) visit(this.rooms.get(room)?.sessions);
    if (accounts !== undefined) for (const account of accounts) visit(this.states.get(account)?.sessions);
    if (topics !== undefined) for (const topic of topics) visit(this.topics.get(topic)?.sessions);
    if (everyone === true) visit(this.all.sessions);
  }

  addCredential(credential: string, session: HubSession<Context>): void {
    const known = this.#byCredential.get(credential);
    if (known === undefined) this.#byCredential.set(credential, session);
    else if (known instanceof Set) known.add(session);
    else this.#byCredential.set(credential, new Set([known, session]));
  }

  removeCredential(credential: string, session: HubSession<Context>): void {
    const known = this.#byCredential.get(credential);
    if (known instanceof Set) known.delete(session);
    if (known === session || (known instanceof Set && known.size === 0)) this.#byCredential.delete(credential);
  }

  /** Sessions that were opened with it. */
  withCredential(credential: string): readonly HubSession<Context>[] {
    const known = this.#byCredential.get(credential);
    if (known === undefined) return [];
    return known instanceof Set ? [...known] : [known];
  }

  get unused(): boolean {
    return (
      this.rooms.size === 0 &&
      this.topics.size === 0 &&
      this.accounts.size === 0 &&
      this.states.size === 0 &&
      this.#byCredential.size === 0 &&
      this.all.unused
    );
  }
}

/** Workspaces by number, made when first used and forgotten when nobody and nothing is in them. */
export class Audiences<Context> {
  readonly #workspaces = new Map<number, WorkspaceAudience<Context>>();

  get(workspace: number): WorkspaceAudience<Context> | undefined {
    return this.#workspaces.get(workspace);
  }

  of(workspace: number): WorkspaceAudience<Context> {
    let audience = this.#workspaces.get(workspace);
    if (audience === undefined) {
      audience = new WorkspaceAudience();
      this.#workspaces.set(workspace, audience);
    }
    return audience;
  }

  tidy(workspace: number): void {
    if (this.#workspaces.get(workspace)?.unused) this.#workspaces.delete(workspace);
  }

  /** The ring let go of its oldest entry. */
  drop(entry: Entry): void {
    const { workspace } = entry.route;
    this.#workspaces.get(workspace)?.drop(entry);
    this.tidy(workspace);
  }
}

/** Entries of the ring that a session was to be shown, from a number on, in order and each once. */
export function entriesFor<Context>(
  audience: WorkspaceAudience<Context>,
  session: HubSession<Context>,
  fromSeq: number,
): Entry[] {
  const found: Entry[] = [];
  let sources = 0;
  const take = (channel: Channel<Context> | undefined, from: bigint, to: bigint | null) => {
    const entries = channel?.entries;
    if (!entries) return;
    const before = found.length;
    for (let i = entries.firstWhere(({ seq }) => seq >= fromSeq); i < entries.length; i++) {
      const entry = entries.at(i);
      if (entry.position >= from && (to === null || entry.position <= to)) found.push(entry);
    }
    if (found.length > before) sources++;
  };
  const { state } = session;
  take(audience.all, 0n, null);
  take(audience.accounts.get(session.account), 0n, null);
  for (const topic of session.topics) take(audience.topics.get(topic), 0n, null);
  for (const [room, from] of state.rooms) if (session.wants(room)) take(audience.rooms.get(room), from, null);
  for (const { room, from, to } of state.ended) if (session.wants(room)) take(audience.rooms.get(room), from, to);
  for (const [room, from] of session.extraRooms) take(audience.rooms.get(room), from, null);
  if (sources > 1) found.sort((a, b) => a.seq - b.seq);
  return found.filter((entry, i) => entry !== found[i - 1]);
}
