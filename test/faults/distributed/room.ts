/**
 * A room of ChatAPI into which numbered messages are posted steadily, and sockets that are shown them, through the gateways
 * (sheet `chatapi`, section 12). A socket that ends comes back and goes on from the last position that it was told of.
 */
import { WebSocket } from 'ws';
import { sleep } from '../../../src/platform/clock.ts';
import { FrameTally } from './frames.ts';
import { ask, recoverWithinMs } from './probes.ts';

/** Two of each of two gateways, while both are there. */
const sockets = 4;
const pauseMs = 250;
const backAfterMs = 200;
const pollMs = 25;
const insistForMs = 120_000;
/** Problems that are told. */
const maxProblems = 20;
/** How a socket may end (sheet, section 12): it comes back, and goes on. 1006: without a word. */
const resumable: readonly number[] = [1001, 1006, 1011, 1012, 1013, 4008];

interface Frame {
  readonly type: string;
  readonly position?: string;
  readonly data: { readonly content?: string; readonly code?: string };
}

/** Messages and their texts. */
const texts = {
  of: (number: number) => `message ${number}`,
  numberOf: (text = ''): number | null => {
    const number = /^message (\d+)$/.exec(text)?.[1];
    return number === undefined ? null : Number(number);
  },
} as const;

/** One client's socket, over all its connections. */
class SteadySocket {
  readonly name: string;
  /** Connections that were welcomed. */
  welcomes = 0;
  readonly #url: string;
  readonly #key: string;
  readonly #room: Room;
  #after: string | null = null;
  #ws: WebSocket | null = null;
  #isOver = false;

  /** Comes and comes back until it is closed. */
  constructor(name: string, url: string, key: string, room: Room) {
    this.name = name;
    this.#url = url;
    this.#key = key;
    this.#room = room;
    void this.#run();
  }

  close(): void {
    this.#isOver = true;
    this.#ws?.terminate();
  }

  async #run(): Promise<void> {
    for (; !this.#isOver; await sleep(backAfterMs)) {
      const { code, reason } = await this.#live();
      if (!this.#isOver) this.#room.ended(this, code, reason);
    }
  }

  /** One connection, to its end. */
  #live(): Promise<{ code: number; reason: string }> {
    const ws = new WebSocket(this.#url);
    this.#ws = ws;
    const after = this.#after === null ? {} : { after: this.#after };
    ws.on('open', () => ws.send(JSON.stringify({ type: 'auth', token: this.#key, ...after })));
    ws.on('message', (text) => this.#take(JSON.parse(String(text)) as Frame));
    // Whatever it is, it closes.
    ws.on('error', () => {});
    return new Promise((resolve) => ws.on('close', (code, reason) => resolve({ code, reason: String(reason) })));
  }

  #take({ type, position, data }: Frame): void {
    if (this.#isOver) return;
    if (type === 'connection_status') this.welcomes++;
    if (type === 'error') this.#room.complain(`${this.name}, after ${this.#after}, was told ${data.code}`);
    const number = type === 'message' ? texts.numberOf(data.content) : null;
    if (number !== null) this.#room.frames.came(this.name, number, BigInt(position ?? -1));
    if (position !== undefined) this.#after = position;
  }
}

/** Where a room is. */
export interface RoomPlace {
  /** Of the API's processes. */
  readonly bases: readonly string[];
  /** Of the address before the gateways. */
  readonly socketPort: number;
}

/** The room, who posts in it, and its sockets. */
export class Room {
  readonly frames: FrameTally;
  readonly problems: string[] = [];
  readonly #bases: readonly string[];
  readonly #people: People;
  readonly #sockets: readonly SteadySocket[];
  readonly #endings = new Map<number, number>();
  readonly #stop = new AbortController();
  #posting: Promise<void> = Promise.resolve();
  #last = 0;
  /** Whether all sockets have been welcomed; before that a gateway may not know them yet. */
  #isOpen = false;

  /** Makes a room and its members, and resolves when all sockets are open. */
  static async open({ bases, socketPort }: RoomPlace): Promise<Room> {
    const room = new Room(bases, socketPort, await populate(bases));
    try {
      await within(recoverWithinMs, 'the sockets were not open', () =>
        room.#sockets.every(({ welcomes }) => welcomes > 0),
      );
    } catch (error) {
      room.close();
      throw error;
    }
    room.#isOpen = true;
    return room;
  }

  private constructor(bases: readonly string[], socketPort: number, people: People) {
    this.#bases = bases;
    this.#people = people;
    const url = `ws://127.0.0.1:${socketPort}/api/v1/websocket/open`;
    const names = people.listeners.map((_, at) => `socket ${at + 1}`);
    this.frames = new FrameTally(names);
    this.#sockets = people.listeners.map((key, at) => new SteadySocket(names[at] as string, url, key, this));
  }

  /** What it is to be told by: messages, frames, and how connections ended. */
  get told(): string {
    const endings = [...this.#endings].sort(([a], [b]) => a - b).map(([code, times]) => `${times} by ${code}`);
    const { acknowledged, frames } = this.frames;
    return (
      `${acknowledged} messages in ${frames} frames over ${this.#sockets.length} sockets ` +
      `(connections ended: ${endings.join(', ') || 'none'})`
    );
  }

  /** A connection ended that was not closed by its client. */
  ended({ name }: SteadySocket, code: number, reason: string): void {
    this.#endings.set(code, (this.#endings.get(code) ?? 0) + 1);
    if (this.#isOpen && !resumable.includes(code)) this.complain(`${name} was closed with ${code} ${reason}`);
  }

  /** Notes what went wrong, once. */
  complain(text: string): void {
    if (this.problems.length < maxProblems && !this.problems.includes(text)) this.problems.push(text);
  }

  /** Posts until told to stop. */
  start(): void {
    const run = async () => {
      while (!this.#stop.signal.aborted) {
        await this.#post(Date.now() + insistForMs);
        await sleep(pauseMs, this.#stop.signal).catch(() => {});
      }
    };
    this.#posting = run();
  }

  /** Posts one message now; answers how long after `since` (milliseconds since the epoch) all sockets had it; null: not in time. */
  async recovers(since: number, until: number): Promise<number | null> {
    const number = await this.#post(until);
    for (; number !== null && Date.now() < until; await sleep(pollMs))
      if (this.frames.isEverywhere(number)) return Date.now() - since;
    return null;
  }

  /** Posts no more. Resolves when what was posted last is acknowledged. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#posting;
  }

  /** Resolves when all that was acknowledged has come, or the time for that is over. */
  async settled(): Promise<void> {
    for (const until = Date.now() + recoverWithinMs; !this.frames.isComplete && Date.now() < until; )
      await sleep(pollMs);
  }

  close(): void {
    this.#stop.abort();
    for (const socket of this.#sockets) socket.close();
  }

  /** Posts the next message, with a key, until it is acknowledged; its number, or null when it is not in time. */
  async #post(until: number): Promise<number | null> {
    const number = ++this.#last;
    const { poster, room } = this.#people;
    const json = { room_id: room, content: texts.of(number) };
    const headers = { 'idempotency-key': texts.of(number) };
    for (let turn = number; Date.now() < until; turn++) {
      const base = this.#bases[turn % this.#bases.length] as string;
      const asked = await ask(base, 'POST', '/messages', poster, { json, headers });
      if (asked?.status === 201) {
        this.frames.acknowledge(number);
        return number;
      }
      if (asked !== null && asked.status !== 503) {
        this.complain(`message ${number} was answered ${asked.status}: ${asked.text.slice(0, 200)}`);
        return null;
      }
      await sleep(pollMs);
    }
    this.complain(`message ${number} was not acknowledged in time`);
    return null;
  }
}

/** A room's id, and the keys of who posts and of who listens. */
interface People {
  readonly room: string;
  readonly poster: string;
  readonly listeners: readonly string[];
}

/** Makes them by one process; resolves when all know them. */
async function populate(bases: readonly string[]): Promise<People> {
  const [first = ''] = bases;
  const made = async (where: string, key: string, json: object): Promise<Record<string, string>> => {
    const asked = await ask(first, 'POST', where, key, { json });
    if (asked === null || asked.status > 299) throw new Error(`POST ${where} was answered ${asked?.status}`);
    return (JSON.parse(asked.text) as { data: Record<string, string> }).data;
  };
  const { master_api_key: master = '' } = await made('/clients', 'none', { name: 'under faults' });
  const person = async (name: string): Promise<string> => {
    const user = { email: `${name}@example.com`, username: name, full_name: name };
    return (await made('/users', master, user)).scoped_api_key ?? '';
  };
  const poster = await person('poster');
  const { id: room = '' } = await made('/rooms', poster, { name: 'under faults' });
  const listeners: string[] = [];
  for (let n = 1; n <= sockets; n++) {
    const key = await person(`listener${n}`);
    await made(`/rooms/${room}/join`, key, {});
    listeners.push(key);
  }
  for (const base of bases)
    await within(
      recoverWithinMs,
      `${base} did not know the room`,
      async () => (await ask(base, 'GET', `/rooms/${room}`, poster))?.status === 200,
    );
  return { room, poster, listeners };
}

/** Resolves when it is so; throws when it is not in time. */
async function within(ms: number, otherwise: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (const until = Date.now() + ms; !(await isSo()); await sleep(pollMs))
    if (Date.now() > until) throw new Error(`${otherwise} within ${ms} ms`);
}
