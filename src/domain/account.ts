import { type DomainEvent, type EventData, event } from '../../schemas/index.ts';
import type { Aggregate, Happened } from './aggregate.ts';
import { DomainError } from './errors.ts';

type AccountRef = { workspace: number; account: number };

/** Service levels: limits and quotas follow from them. */
export type Tier = EventData<'TierChanged'>['tier'];

/** What is known of an account. */
export interface AccountState {
  readonly exists: boolean;
  readonly email: string | null;
  readonly passwordHash: string | null;
  readonly displayName: string | null;
  /** Null until set: the configured default applies. */
  readonly tier: Tier | null;
  readonly openedAt: number;
}

/** Commands of an account. */
export type AccountCommand =
  | (AccountRef & {
      readonly command: 'OpenAccount';
      readonly kind: 'person' | 'bot' | 'service';
      readonly email?: string;
      readonly passwordHash?: string;
      readonly displayName?: string | null;
    })
  | (AccountRef & { readonly command: 'ChangeTier'; readonly tier: Tier });

/** The rules of accounts. Identifiers are unique by claims, which the command's door adds. */
export const account: Aggregate<AccountState, AccountCommand> = {
  initial: { exists: false, email: null, passwordHash: null, displayName: null, tier: null, openedAt: 0 },

  decide(state, command) {
    const ref = { workspace: command.workspace, account: command.account };
    switch (command.command) {
      case 'OpenAccount': {
        if (state.exists) throw new DomainError('already-exists');
        const events: DomainEvent[] = [event('AccountOpened', { ...ref, kind: command.kind })];
        if (command.email !== undefined) {
          events.push(event('IdentifierAttached', { ...ref, kind: 'email', value: command.email }));
        }
        if (command.passwordHash !== undefined)
          events.push(event('PasswordSet', { ...ref, hash: command.passwordHash }));
        if (command.displayName != null) {
          events.push(event('ProfileChanged', { ...ref, displayName: command.displayName }));
        }
        return events;
      }
      case 'ChangeTier':
        if (!state.exists) throw new DomainError('not-found');
        return state.tier === command.tier ? [] : [event('TierChanged', { ...ref, tier: command.tier })];
    }
  },

  evolve(state, happened: Happened) {
    switch (happened.type) {
      case 'AccountOpened':
        return { ...state, exists: true, openedAt: happened.at };
      case 'IdentifierAttached':
        return happened.data.kind === 'email' ? { ...state, email: happened.data.value } : state;
      case 'PasswordSet':
        return { ...state, passwordHash: happened.data.hash };
      case 'ProfileChanged':
        return happened.data.displayName === undefined ? state : { ...state, displayName: happened.data.displayName };
      case 'TierChanged':
        return { ...state, tier: happened.data.tier };
      default:
        return state;
    }
  },
};
