/** What kafkajs says, as lines of ours: it retries what it calls an error, so nothing of it is one here. */
import type { ConsumerLogger } from './feed.ts';

/** A line of kafkajs, as far as we read it. */
export interface KafkaLine {
  readonly namespace: string;
  readonly label: string;
  readonly log: { readonly message: string; readonly error?: unknown };
}

/** The same line again is not said before this is over. */
const repeatAfterMs = 10_000;
const maxRemembered = 500;

/** What every start and every rebalance brings, and is over by itself. */
const usual =
  /coordinator is (?:loading|not available)|not the (?:correct )?coordinator|rebalanc|re-?joining|not aware of this member/i;

/** Makes the function that takes kafkajs's lines. */
export function kafkaLog(logger: ConsumerLogger): (line: KafkaLine) => void {
  const said = new Map<string, { at: number; unsaid: number }>();
  return ({ namespace, label, log }) => {
    if (label !== 'ERROR' && label !== 'WARN') return;
    const detail = typeof log.error === 'string' ? `: ${log.error}` : '';
    const text = `${log.message}${log.message.includes(detail) ? '' : detail}`;
    if (usual.test(text)) return;
    const cause = `${namespace} ${log.message.replace(/\d+/g, 'N')}`;
    const now = performance.now();
    const last = said.get(cause);
    if (last && now - last.at < repeatAfterMs) {
      last.unsaid++;
      return;
    }
    if (said.size >= maxRemembered) said.clear();
    said.set(cause, { at: now, unsaid: 0 });
    logger.warn({ part: 'kafka', ...(last && last.unsaid > 0 && { repeated: last.unsaid }) }, `kafka: ${text}`);
  };
}

let filtered = false;

/**
 * kafkajs sets a timer into the past after every answer, which Node warns of, once per process. That one warning is kept
 * from being printed; all others are.
 */
export function silenceNegativeTimeouts(): void {
  if (filtered) return;
  filtered = true;
  const emit = process.emitWarning.bind(process) as (...args: unknown[]) => void;
  process.emitWarning = (...args: unknown[]): void => {
    const [warning, kind] = args;
    const type = typeof kind === 'object' && kind !== null && 'type' in kind ? kind.type : kind;
    const name = warning instanceof Error ? warning.name : type;
    if (name !== 'TimeoutNegativeWarning') emit(...args);
  };
}
