import { DomainError } from '../domain/errors.ts';

/** Who waits for one name, in one process. */
const maxWaiting = 2_000;

interface Turn {
  last: Promise<unknown>;
  waiting: number;
}

/** Lets what is done under one name be done one after the other, within the process. */
export class Turns {
  readonly #turns = new Map<string, Turn>();
  readonly #monotonicMs: () => number;
  readonly #patienceMs: number;

  /** @param patienceMs whoever waited longer is refused: while storage is away, each of those before takes its time */
  constructor(monotonicMs: () => number, patienceMs: number) {
    this.#monotonicMs = monotonicMs;
    this.#patienceMs = patienceMs;
  }

  /** Works when those before are through, whatever became of them. Throws DomainError `unavailable` where too many wait. */
  async take<T>(name: string, work: () => Promise<T>): Promise<T> {
    const turn: Turn = this.#turns.get(name) ?? { last: Promise.resolve(), waiting: 0 };
    if (turn.waiting >= maxWaiting) throw tooMany();
    turn.waiting++;
    this.#turns.set(name, turn);
    const since = this.#monotonicMs();
    const own = turn.last.then(() => {
      if (this.#monotonicMs() - since > this.#patienceMs) throw tooMany();
      return work();
    });
    turn.last = own.catch(() => {});
    try {
      return await own;
    } finally {
      if (--turn.waiting === 0) this.#turns.delete(name);
    }
  }
}

function tooMany(): DomainError {
  return new DomainError('unavailable', 'too many commands on one object are waiting');
}
