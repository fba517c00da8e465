import { type EventData, event } from '../../schemas/index.ts';
import type { Aggregate } from './aggregate.ts';
import { DomainError } from './errors.ts';

/** What is known of an API key. `rateLimit` is in messages an hour, 0 for none of its own. Scoped keys are their account's. */
export interface KeyState {
  readonly exists: boolean;
  readonly workspace: number;
  readonly key: number;
  readonly mode: 'live' | 'test';
  readonly name: string;
  readonly secretHash: string;
  readonly rateLimit: number;
  readonly expiresAt: number | null;
  /** The API that it opens; MessageJS when absent. */
  readonly dialect?: EventData<'KeyIssued'>['dialect'];
  readonly createdAt: number;
}

/** Commands of a key. */
export type KeyCommand =
  | ({ readonly command: 'IssueKey' } & EventData<'KeyIssued'>)
  | { readonly command: 'RevokeKey'; readonly workspace: number; readonly key: number };

/** The rules of keys: a revoked key does not exist. */
export const key: Aggregate<KeyState, KeyCommand> = {
  initial: {
    exists: false,
    workspace: 0,
    key: 0,
    mode: 'live',
    name: '',
    secretHash: '',
    rateLimit: 0,
    expiresAt: null,
    createdAt: 0,
  },

  decide(state, command) {
    if (command.command === 'IssueKey') {
      if (state.exists) throw new DomainError('already-exists');
      const { command: _, ...data } = command;
      return [event('KeyIssued', data)];
    }
    if (!state.exists) throw new DomainError('not-found');
    return [event('KeyRevoked', { workspace: command.workspace, key: command.key })];
  },

  evolve(state, happened) {
    switch (happened.type) {
      case 'KeyIssued':
        return { ...state, ...happened.data, exists: true, createdAt: happened.at };
      case 'KeyRevoked':
        return { ...state, exists: false };
      default:
        return state;
    }
  },
};
