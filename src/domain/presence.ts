import { event } from '../../schemas/index.ts';
import type { Aggregate } from './aggregate.ts';

/** What an account declared of itself. */
export interface PresenceState {
  readonly online: boolean;
  /** Milliseconds since the epoch; null until it first changed. */
  readonly changedAt: number | null;
}

/** Commands of a declared presence. */
export interface PresenceCommand {
  readonly command: 'DeclarePresence';
  readonly workspace: number;
  readonly account: number;
  readonly online: boolean;
}

/** The rules of declared presence: what is so already is no event. */
export const presence: Aggregate<PresenceState, PresenceCommand> = {
  initial: { online: false, changedAt: null },

  decide(state, { workspace, account, online }) {
    return state.online === online ? [] : [event('PresenceDeclared', { workspace, account, online })];
  },

  evolve(state, happened) {
    return happened.type === 'PresenceDeclared' ? { online: happened.data.online, changedAt: happened.at } : state;
  },
};
