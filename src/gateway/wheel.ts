/** What a wheel reminds of. The wheel alone writes the fields. */
export interface Due {
  /** When it is due, monotonic milliseconds. */
  dueMs: number;
  /** Where it stands in the wheel. */
  slot: Set<Due> | null;
  /** It is due. */
  due(nowMs: number): void;
}

/** How a wheel is made. */
export interface WheelOptions {
  /** Time between two turns. */
  readonly tickMs: number;
  /** How far ahead it reaches, in ticks. */
  readonly slots: number;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

/**
 * One timer for many reminders: slots are turned over one after the other. What lies further ahead than the wheel reaches
 * goes round again.
 */
export class Wheel<T extends Due> {
  readonly #slots: Set<Due>[];
  readonly #tickMs: number;
  readonly #nowMs: () => number;
  /** The tick that was turned over last. */
  #turned: number;

  constructor({ tickMs, slots, nowMs }: WheelOptions) {
    this.#slots = Array.from({ length: slots }, () => new Set<Due>());
    this.#tickMs = tickMs;
    this.#nowMs = nowMs;
    this.#turned = Math.floor(nowMs() / tickMs);
  }

  /** Reminds of an item at a time, in place of the one it had; at the next turn when that has passed. */
  schedule(item: T, dueMs: number): void {
    this.cancel(item);
    const ahead = Math.min(Math.max(Math.ceil(dueMs / this.#tickMs) - this.#turned, 1), this.#slots.length - 1);
    const slot = this.#slots[(this.#turned + ahead) % this.#slots.length] as Set<Due>;
    item.dueMs = dueMs;
    item.slot = slot;
    slot.add(item);
  }

  cancel(item: T): void {
    item.slot?.delete(item);
    item.slot = null;
  }

  /** Tells who is due by now. To be called every tick. */
  turn(): void {
    const nowMs = this.#nowMs();
    const until = Math.floor(nowMs / this.#tickMs);
    // After a standstill longer than a round, one round covers everybody.
    let tick = Math.max(this.#turned, until - this.#slots.length);
    while (tick < until) {
      tick++;
      this.#turned = tick;
      const slot = this.#slots[tick % this.#slots.length] as Set<Due>;
      for (const item of [...slot] as T[]) {
        if (item.slot !== slot) continue;
        if (item.dueMs > nowMs) {
          this.schedule(item, item.dueMs);
        } else {
          this.cancel(item);
          item.due(nowMs);
        }
      }
    }
  }
}
