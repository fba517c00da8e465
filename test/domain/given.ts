/** Given what happened, when a command comes, then these events: how the rules of an aggregate are told in tests. */
import type { Test } from 'tap';
import type { DomainEvent } from '../../schemas/index.ts';
import type { Aggregate } from '../../src/domain/aggregate.ts';
import { DomainError, type ErrorCode } from '../../src/domain/errors.ts';

/** An event of the past; without a time it happened one millisecond after the one before it, the first at 1. */
export type Past = DomainEvent & { readonly at?: number };

/** The state that a history leaves behind. */
export function stateAfter<State, Command>(aggregate: Aggregate<State, Command>, past: readonly Past[]): State {
  let at = 0;
  let state = aggregate.initial;
  for (const happened of past) {
    at = happened.at ?? at + 1;
    state = aggregate.evolve(state, { ...happened, at });
  }
  return state;
}

/** What `decide` answers: events, or the code of its refusal. Any other throw goes on. */
export function decided<State, Command>(
  aggregate: Aggregate<State, Command>,
  state: State,
  command: Command,
): DomainEvent[] | ErrorCode {
  try {
    return aggregate.decide(state, command);
  } catch (error) {
    if (error instanceof DomainError) return error.code;
    throw error;
  }
}

/** `given(t, aggregate, past).when(command).yields(events, or the code of a refusal)`. */
export function given<State, Command>(t: Test, aggregate: Aggregate<State, Command>, past: readonly Past[] = []) {
  return {
    when(command: Command) {
      const outcome = decided(aggregate, stateAfter(aggregate, past), command);
      return {
        yields(expected: readonly DomainEvent[] | ErrorCode, message = 'yields'): void {
          t.strictSame(outcome, expected, message);
        },
      };
    },
  };
}
