/** A small dialect over the chat's events, and its read model: what tests and benchmarks of the gateway run. */
import type { RecordedEvent } from '../../schemas/index.ts';
import {
  type AccountRef,
  type FramePositions,
  type HistoryPage,
  type MembershipSpan,
  type Revocation,
  type Route,
  type Session,
  type SocketDialect,
  webSocketText,
} from '../../src/gateway/index.ts';
import { type Log, LogUnavailableError } from '../../src/log/log.ts';

/** What the dialect keeps with a session. */
export interface Context {
  readonly name: string;
}

/** One thing of the read model. */
export interface ChatItem {
  readonly position: bigint;
  readonly room: number;
  readonly event: RecordedEvent;
}

/** Frames of one event, as clients get them. */
export interface Frame {
  readonly type: 'message' | 'deleted' | 'joined' | 'members' | 'left' | 'room_deleted' | 'note';
  readonly room: number;
  readonly position: string;
  readonly message?: number;
  readonly text?: string;
  readonly account?: number;
  /** Sent by whoever gets it. */
  readonly own?: boolean;
}

/** Whom an event is for. */
export function chatRoute(event: RecordedEvent): Route | null {
  switch (event.type) {
    case 'MessagePosted': {
      const { workspace, room, audience } = event.data;
      return audience === null ? { workspace, room } : { workspace, accounts: audience.receivers };
    }
    case 'MessageDeleted':
      return { workspace: event.data.workspace, room: event.data.room, voids: [event.stream] };
    case 'MembershipStarted':
      return { workspace: event.data.workspace, room: event.data.room, joined: [event.data.account] };
    case 'MembershipEnded':
      return { workspace: event.data.workspace, room: event.data.room, left: [event.data.account] };
    case 'RoomDeleted': {
      const { workspace, room } = event.data;
      return {
        workspace,
        room,
        closesRoom: true,
        voidsWhere: ({ type, data }) => type === 'MessagePosted' && data.workspace === workspace && data.room === room,
      };
    }
    case 'ProfileChanged':
      return { workspace: event.data.workspace, topics: [`profile-${event.data.account}`] };
    case 'WorkspaceOpened':
      return { workspace: event.data.workspace, everyone: true };
    default:
      return null;
  }
}

function chatFrames(event: RecordedEvent, own: boolean, { before, at }: FramePositions): string[] {
  const spell = (frame: Frame) => JSON.stringify(frame);
  switch (event.type) {
    case 'MessagePosted': {
      const { room, message, body } = event.data;
      return [spell({ type: 'message', room, message, text: body.text, own, position: at })];
    }
    case 'MessageDeleted':
      return [spell({ type: 'deleted', room: event.data.room, message: event.data.message, position: at })];
    case 'MembershipStarted': {
      const { room, account } = event.data;
      return [
        spell({ type: 'joined', room, account, position: before }),
        spell({ type: 'members', room, position: at }),
      ];
    }
    case 'MembershipEnded':
      return [spell({ type: 'left', room: event.data.room, account: event.data.account, position: at })];
    case 'RoomDeleted':
      return [spell({ type: 'room_deleted', room: event.data.room, position: at })];
    case 'ProfileChanged':
      return [spell({ type: 'note', room: 0, text: event.data.displayName ?? '', position: at })];
    case 'WorkspaceOpened':
      return [spell({ type: 'note', room: 0, text: event.data.name, position: at })];
    default:
      return [];
  }
}

/** What the dialect answers from: kept in memory by a tail of its own, which can be held still. */
export class ChatReadModel {
  readonly #log: Pick<Log, 'tail'>;
  readonly #spans = new Map<string, { room: number; from: bigint; to: bigint | null }[]>();
  readonly #items = new Map<string, ChatItem[]>();
  readonly #watchers = new Set<() => void>();
  readonly #stopped = new AbortController();
  #following: Promise<void> | null = null;
  #position = 0n;
  #held: PromiseWithResolvers<void> | null = null;
  /** Pages of history that were asked for. */
  pages = 0;

  constructor(log: Pick<Log, 'tail'>) {
    this.#log = log;
  }

  start(): void {
    this.#following = this.#follow();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.release();
    await this.#following;
  }

  /** From here on it stands still. */
  hold(): void {
    this.#held ??= Promise.withResolvers();
  }

  release(): void {
    this.#held?.resolve();
    this.#held = null;
  }

  reached(): bigint {
    return this.#position;
  }

  watch(onReached: () => void): () => void {
    this.#watchers.add(onReached);
    return () => this.#watchers.delete(onReached);
  }

  async #follow(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      try {
        await this.#followTail();
      } catch (error) {
        if (!(error instanceof LogUnavailableError)) throw error;
      }
    }
  }

  async #followTail(): Promise<void> {
    for await (const { events, position } of this.#log.tail(this.#position, this.#stopped.signal)) {
      for (const event of events) {
        if (this.#held) await this.#held.promise;
        this.#apply(event);
        this.#position = event.position;
      }
      if (this.#held) await this.#held.promise;
      this.#position = position;
      for (const watcher of [...this.#watchers]) watcher();
    }
  }

  #apply(event: RecordedEvent): void {
    switch (event.type) {
      case 'MembershipStarted': {
        const spans = this.#spansOf(event.data);
        if (!spans.some(({ room, to }) => room === event.data.room && to === null)) {
          spans.push({ room: event.data.room, from: event.position, to: null });
        }
        break;
      }
      case 'MembershipEnded':
        this.#end(this.#spansOf(event.data), event.data.room, event.position);
        break;
      case 'RoomDeleted': {
        const ours = `${event.data.workspace}/`;
        for (const [key, spans] of this.#spans) {
          if (key.startsWith(ours)) this.#end(spans, event.data.room, event.position);
        }
        this.#drop(event, (item) => item.event.type === 'MessagePosted');
        break;
      }
      case 'MessageDeleted':
        this.#drop(event, (item) => item.event.stream === event.stream);
        break;
      case 'MessagePosted':
        break;
      default:
        return;
    }
    const { workspace, room } = event.data;
    const key = `${workspace}/${room}`;
    const items = this.#items.get(key) ?? [];
    items.push({ position: event.position, room, event });
    this.#items.set(key, items);
  }

  #end(spans: { room: number; to: bigint | null }[], room: number, at: bigint): void {
    for (const span of spans) if (span.room === room && span.to === null) span.to = at;
  }

  #drop(
    { data }: RecordedEvent & { data: { workspace: number; room: number } },
    is: (item: ChatItem) => boolean,
  ): void {
    const key = `${data.workspace}/${data.room}`;
    this.#items.set(
      key,
      (this.#items.get(key) ?? []).filter((item) => !is(item)),
    );
  }

  #spansOf({ workspace, account }: AccountRef): { room: number; from: bigint; to: bigint | null }[] {
    const key = `${workspace}/${account}`;
    const spans = this.#spans.get(key) ?? [];
    this.#spans.set(key, spans);
    return spans;
  }

  memberships(of: AccountRef, since: bigint): { spans: MembershipSpan[]; upTo: bigint } {
    const spans = this.#spansOf(of).filter(({ to }) => to === null || to > since);
    return { spans: spans.map((span) => ({ ...span })), upTo: this.#position };
  }

  history(of: AccountRef, after: bigint, maxItems: number): HistoryPage<ChatItem> {
    this.pages++;
    const found = this.#visible(of, after);
    const items = found.slice(0, maxItems);
    const last = items.at(-1);
    const upTo = found.length > items.length && last ? last.position : this.#position;
    return { items, upTo: upTo > after ? upTo : after };
  }

  latest(of: AccountRef, after: bigint, maxItems: number): bigint {
    const found = this.#visible(of, after);
    return found.length > maxItems ? (found.at(-maxItems - 1) as ChatItem).position : after;
  }

  #visible(of: AccountRef, after: bigint): ChatItem[] {
    const spans = this.#spansOf(of);
    const found: ChatItem[] = [];
    for (const [key, items] of this.#items) {
      if (!key.startsWith(`${of.workspace}/`)) continue;
      const inRoom = spans.filter(({ room }) => key === `${of.workspace}/${room}`);
      for (const item of items) {
        const { position, event } = item;
        if (position <= after) continue;
        const audience = event.type === 'MessagePosted' ? event.data.audience : null;
        const seen = audience
          ? audience.receivers.includes(of.account)
          : inRoom.some(({ from, to }) => position >= from && (to === null || position <= to));
        if (seen) found.push(item);
      }
    }
    return found.sort((x, y) => Number(x.position - y.position));
  }
}

/** Makes the dialect. Variants: one's own messages are marked. */
export function chatDialect(
  readModel: ChatReadModel,
  rest: Partial<SocketDialect<Context, ChatItem>> = {},
): SocketDialect<Context, ChatItem> {
  const variant = (event: RecordedEvent, session: Session<Context>) =>
    event.type === 'MessagePosted' && event.data.sender === session.account ? 'own' : 'others';
  return {
    name: 'chat',
    encoding: webSocketText,
    heartbeat: { intervalMs: 30_000, graceMs: 10_000, ping: 'protocol' },
    route: chatRoute,
    variant,
    frames: (event, named, positions) => chatFrames(event, named === 'own', positions),
    memberships: async (of, since) => readModel.memberships(of, since),
    history: async (session, after, maxItems) => readModel.history(session, after, maxItems),
    latest: async (session, after, maxItems) => readModel.latest(session, after, maxItems),
    itemFrames: ({ event }, session, positions) => chatFrames(event, variant(event, session) === 'own', positions),
    revokes: revocationOf,
    drainFrame: (_session, { reconnectAfterMs, position }) =>
      JSON.stringify({ type: 'shutdown', reconnectAfterMs, position }),
    closing: (cause) => closings[cause],
    ...rest,
  };
}

const closings = {
  slow: { code: 4008, reason: 'too slow' },
  revoked: { code: 4001, reason: 'unauthorized' },
  drained: { code: 1001, reason: 'going away' },
  fault: { code: 1011, reason: 'error' },
} as const;

function revocationOf(event: RecordedEvent): Revocation | null {
  switch (event.type) {
    case 'KeyRevoked':
      return { workspace: event.data.workspace, credential: `key-${event.data.key}` };
    case 'AccountDeleted':
      return { workspace: event.data.workspace, account: event.data.account };
    case 'WorkspaceDeleted':
      return { workspace: event.data.workspace };
    default:
      return null;
  }
}
