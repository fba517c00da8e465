import type { ConsumerLogger } from '../feed/feed.ts';
import { BoundedMap } from '../platform/bounded-map.ts';

/** Causes that are remembered. */
const maxCauses = 100;
const everyMs = 1_000;

/** Says what went wrong, once a second per cause at most: while storage is away thousands of attempts meet it at once. */
export class Troubles {
  readonly #logger: Pick<ConsumerLogger, 'warn'>;
  readonly #message: string;
  readonly #nowMs: () => number;
  readonly #said = new BoundedMap<string, { at: number; unsaid: number }>(maxCauses);

  /** `nowMs` is monotonic. */
  constructor(logger: Pick<ConsumerLogger, 'warn'>, message: string, nowMs: () => number) {
    this.#logger = logger;
    this.#message = message;
    this.#nowMs = nowMs;
  }

  tell(error: unknown): void {
    const cause = causeOf(error);
    const now = this.#nowMs();
    const said = this.#said.get(cause);
    if (said && now - said.at < everyMs) {
      said.unsaid++;
      return;
    }
    this.#said.set(cause, { at: now, unsaid: 0 });
    const unsaid = said?.unsaid ?? 0;
    this.#logger.warn({ err: error, ...(unsaid > 0 && { unsaid }) }, this.#message);
  }
}

/** What tells causes apart: texts but for the numbers in them. */
function causeOf(error: unknown): string {
  const { name, message, code } =
    error instanceof Error ? (error as Error & { code?: unknown }) : { name: '', message: String(error), code: '' };
  return `${name} ${String(code)} ${message.slice(0, 200).replace(/\d+/g, '0')}`;
}
