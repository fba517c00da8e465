import type { DomainEvent } from '../../schemas/index.ts';

/** An event with its time, as it changes a state. */
export type Happened = DomainEvent & { readonly at: number };

/**
 * The rules of one kind of stream, pure: no I/O, no clock, no random.
 * `decide` answers the events of a command, none when there is nothing to do, and throws DomainError to refuse it.
 */
export interface Aggregate<State, Command> {
  readonly initial: State;
  decide(state: State, command: Command): DomainEvent[];
  evolve(state: State, event: Happened): State;
}
