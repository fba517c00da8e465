import type { Held } from './held.ts';
import type { Leases } from './leases.ts';

const sweep = { everyMs: 3_600_000, ageMs: 86_400_000 } as const;

/** Keeps the leases of what is held, and tidies up those that nobody will ask for any more. */
export class LeaseKeeper {
  readonly #leases: Leases;
  readonly #held: Held;
  readonly #lifeMs: number;
  readonly #onTrouble: (error: unknown) => void;
  #renewing = false;
  #sweptAt = Number.NEGATIVE_INFINITY;

  constructor(leases: Leases, held: Held, lifeMs: number, onTrouble: (error: unknown) => void) {
    this.#leases = leases;
    this.#held = held;
    this.#lifeMs = lifeMs;
    this.#onTrouble = onTrouble;
  }

  /** To be called several times in a third of a lease's life. `now` is monotonic, milliseconds. */
  tick(now: number): void {
    if (!this.#renewing) void this.#renew(now);
    if (now - this.#sweptAt < sweep.everyMs) return;
    this.#sweptAt = now;
    this.#leases.sweep(sweep.ageMs).catch(this.#onTrouble);
  }

  async #renew(now: number): Promise<void> {
    const due = this.#held.renewedBefore(now - this.#lifeMs / 3);
    if (due.length === 0) return;
    this.#renewing = true;
    try {
      const lost = new Set(await this.#leases.renew(due));
      for (const dispatch of due) {
        const holding = this.#held.get(dispatch);
        // One that is lost is not begun any more; what is under way or settled goes its way.
        if (holding) holding.renewedAt = lost.has(dispatch) ? Number.NEGATIVE_INFINITY : now;
      }
    } catch (error) {
      this.#onTrouble(error);
    } finally {
      this.#renewing = false;
    }
  }
}
