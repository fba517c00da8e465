/** How many frames a peer may send in a minute: fixed windows, each beginning with the first frame after the one before. */
export class FrameBudget {
  readonly #max: number;
  readonly #windowMs: number;
  #beganMs = Number.NEGATIVE_INFINITY;
  #taken = 0;

  /** @param max frames of a window; 0: no limit */
  constructor(max: number, windowMs = 60_000) {
    this.#max = max;
    this.#windowMs = windowMs;
  }

  /** Takes one frame; false when the window has none left. `nowMs` is monotonic. */
  take(nowMs: number): boolean {
    if (this.#max === 0) return true;
    if (nowMs - this.#beganMs >= this.#windowMs) {
      this.#beganMs = nowMs;
      this.#taken = 0;
    }
    this.#taken++;
    return this.#taken <= this.#max;
  }
}
