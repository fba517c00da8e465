/** What a socket's peer sends, handled one frame after the other, in the order in which they came. */

/** As much of a WebSocket of `ws` as is needed to read slower. */
interface Pausable {
  readonly isPaused: boolean;
  pause(): void;
  resume(): void;
}

/** Frames of one socket that may wait; with more, nothing is read from it until half of them are done. */
const maxWaiting = 64;

/** The turns of one socket's frames. */
export class FrameTurns {
  readonly #ws: Pausable;
  #last: Promise<void>;
  #waiting = 0;

  /** @param opened the first frame is handled when this has resolved */
  constructor(ws: Pausable, opened: Promise<unknown>) {
    this.#ws = ws;
    this.#last = opened.then(() => {});
  }

  /** Handles a frame when those before it are done. `onFault` is told when that fails. */
  take(handle: () => Promise<void> | undefined, onFault: (error: unknown) => void): void {
    this.#waiting++;
    if (this.#waiting === maxWaiting) this.#ws.pause();
    this.#last = this.#last
      .then(handle)
      .catch(onFault)
      .then(() => {
        this.#waiting--;
        if (this.#waiting === maxWaiting / 2 && this.#ws.isPaused) this.#ws.resume();
      });
  }
}
