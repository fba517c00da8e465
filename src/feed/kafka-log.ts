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

/**
 * What every start and every rebalance brings and is over by itself; and an offset that the topic does not have, which
 * makes a hole, and holes are told by who fills them.
 */
const usual =
  /coordinator is (?:loading|not available)|not the (?:correct )?coordinator|rebalanc|re-?joining|not aware of this member|range of offsets|offset out of range/i;

type Said = Map<string, { readonly at: number; unsaid: number }>;

/** By logger: a client that takes the place of another says the same again. */
const saidBy = new WeakMap<ConsumerLogger, Said>();

/** Makes the function that takes kafkajs's lines. */
export function kafkaLog(logger: ConsumerLogger): (line: KafkaLine) => void {
  const said: Said = saidBy.get(logger) ?? new Map();
  saidBy.set(logger, said);
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
 * from those who print warnings by now; all others reach them.
 */
export function silenceNegativeTimeouts(): void {
  if (filtered) return;
  filtered = true;
  for (const listener of process.listeners('warning')) {
    process.off('warning', listener);
    process.on('warning', (warning) => {
      if (warning.name !== 'TimeoutNegativeWarning') listener(warning);
    });
  }
}
