import type { Kill9Run } from './kill9.ts';
import type { BreachKind, Verdict } from './verify.ts';

const words: readonly (readonly [BreachKind, string])[] = [
  ['lost', 'lost'],
  ['doubled', 'duplicates'],
  ['replay', 'wrong replays'],
  ['gap', 'gaps'],
  ['torn', 'torn commits'],
  ['projection', 'unequal projections'],
  ['unreached', 'unreached'],
  ['resent', 'resent'],
  ['stranger', 'strangers'],
  ['unsettled', 'unsettled'],
];

/** How often each promise was broken. */
export function breachWords({ counts }: Verdict): string {
  return words.map(([kind, word]) => `${word} ${counts[kind] ?? 0}`).join(', ');
}

/** The last line of a run. */
export function summary(run: Kill9Run, verdict: Verdict, passed: boolean): string {
  const { kills, ledger, recovery } = run;
  const total = Object.values(kills).reduce((sum, count) => sum + count, 0);
  const seconds = (ms: number): string => `${(ms / 1_000).toFixed(2)} s`;
  return [
    `kill9: ${run.cycles} cycles, ${total} kills (server ${kills.server}, postgres ${kills.postgres}, both ${kills.both}, ` +
      `postgres process ${kills.process}; ${run.startsKilled} during a start)`,
    `${ledger.acknowledged} of ${ledger.commands.length} commands acknowledged, ${ledger.replays} replays, ` +
      `${ledger.unknownAnswers} answers unknown, ${ledger.unexpectedAnswers} unexpected, ${verdict.silentEffects} effects unacknowledged`,
    `${verdict.events} events, ${verdict.accepted} dispatches (${verdict.delivered} delivered, ${verdict.failed} failed, ` +
      `${verdict.repeatedSends} sends repeated before their end was recorded)`,
    breachWords(verdict),
    `recovery p50 ${seconds(recovery.quantileMs(0.5))}, max ${seconds(recovery.quantileMs(1))}`,
    `${Math.round(run.durationMs() / 1_000)} s`,
    passed ? 'passed' : 'FAILED',
  ].join('; ');
}
