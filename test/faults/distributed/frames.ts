/** What came over sockets, against what was acknowledged: every message once, in the order of the log. */

/** Breaches that are told in full. */
const maxTold = 20;

/** How often each promise to a socket was broken. */
export interface FrameVerdict {
  /** Acknowledged messages that never came, over all sockets. */
  readonly missing: number;
  /** Frames of messages that had come before. */
  readonly repeated: number;
  /** Frames at a position that is not behind that of the frame before. */
  readonly disordered: number;
  /** In words, `maxTold` at most. */
  readonly texts: readonly string[];
}

/** The messages of one room by their numbers, and what each of its sockets was told of them, over all its connections. */
export class FrameTally {
  /** Frames of messages that came, over all sockets. */
  frames = 0;
  readonly #acknowledged = new Set<number>();
  readonly #sockets = new Map<string, { readonly numbers: Set<number>; position: bigint }>();
  readonly #texts: string[] = [];
  #repeated = 0;
  #disordered = 0;

  /** @param sockets their names */
  constructor(sockets: readonly string[]) {
    for (const name of sockets) this.#sockets.set(name, { numbers: new Set(), position: -1n });
  }

  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  /** The server answered that it has a message. */
  acknowledge(number: number): void {
    this.#acknowledged.add(number);
  }

  /** A frame with a message came over one of the sockets. */
  came(name: string, number: number, position: bigint): void {
    const socket = this.#sockets.get(name);
    if (!socket) throw new Error(`there is no ${name}`);
    this.frames++;
    if (socket.numbers.has(number)) {
      this.#repeated++;
      this.#tell(`${name} was told of ${number} again, at ${position}`);
    } else if (position <= socket.position) {
      this.#disordered++;
      this.#tell(`${name} was told of ${number}, at ${position}, after what stands at ${socket.position}`);
    }
    socket.numbers.add(number);
    if (position > socket.position) socket.position = position;
  }

  /** Whether every socket was told of a message. */
  isEverywhere(number: number): boolean {
    return [...this.#sockets.values()].every(({ numbers }) => numbers.has(number));
  }

  /** Whether every socket was told of all that was acknowledged. */
  get isComplete(): boolean {
    return [...this.#sockets.values()].every(({ numbers }) => this.#acknowledged.isSubsetOf(numbers));
  }

  /** The judgement, when nothing more is to come. */
  verdict(): FrameVerdict {
    const missing = [...this.#sockets].flatMap(([name, { numbers }]) =>
      [...this.#acknowledged.difference(numbers)].map((number) => `${name} was never told of ${number}`),
    );
    const texts = [...this.#texts, ...missing].slice(0, maxTold);
    return { missing: missing.length, repeated: this.#repeated, disordered: this.#disordered, texts };
  }

  #tell(text: string): void {
    if (this.#texts.length < maxTold) this.#texts.push(text);
  }
}

/** How often each promise was broken, for the last line of a run. */
export function frameWords({ missing, repeated, disordered }: FrameVerdict): string {
  return `frames missing ${missing}, frames repeated ${repeated}, frames out of order ${disordered}`;
}

/** Whether every promise was kept. */
export function isKept({ missing, repeated, disordered }: FrameVerdict): boolean {
  return missing + repeated + disordered === 0;
}
