/** How long after a kill the first command was acknowledged whose request set out after it. */
export class Recovery {
  /** Milliseconds each; a kill that was followed by another before an answer has none of its own. */
  readonly timesMs: number[] = [];
  #killedAt: number | null = null;
  #waiting: ((ms: number) => void)[] = [];

  /** Something is being killed now. */
  killed(): void {
    this.#killedAt = Date.now();
  }

  /** A command was acknowledged. `requestedAt` in milliseconds since the epoch. */
  answered(requestedAt: number): void {
    if (this.#killedAt === null || requestedAt <= this.#killedAt) return;
    const ms = Date.now() - this.#killedAt;
    this.#killedAt = null;
    this.timesMs.push(ms);
    for (const resolve of this.#waiting.splice(0)) resolve(ms);
  }

  /** Resolves with the time it took, at once when there was an answer already; null when there is none in time. */
  async recovered(withinMs: number): Promise<number | null> {
    if (this.#killedAt === null) return this.timesMs.at(-1) ?? 0;
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(null), withinMs);
      this.#waiting.push((ms) => {
        clearTimeout(timer);
        resolve(ms);
      });
    });
  }

  /** The value that a share (0..1) of the times does not exceed; 0 when there are none. */
  quantileMs(share: number): number {
    const sorted = [...this.timesMs].sort((a, b) => a - b);
    return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  }
}
