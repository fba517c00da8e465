import { event } from '../../schemas/index.ts';
import type { Aggregate } from './aggregate.ts';
import { DomainError } from './errors.ts';

/** A replaced refresh token still works for this long: the answer that carried its successor may have been lost. */
export const refreshGraceMs = 30_000;

/** Replaced tokens that are remembered; an older one is simply unknown. */
const rememberedTokens = 16;

/** What is known of a login session. */
export interface SessionState {
  readonly exists: boolean;
  readonly workspace: number;
  readonly account: number;
  readonly refreshHash: string;
  readonly replaced: readonly { readonly hash: string; readonly at: number }[];
  readonly expiresAt: number;
  readonly ended: boolean;
}

interface SessionRef {
  readonly workspace: number;
  readonly account: number;
  readonly session: string;
}

/** Commands of a session. Hashes are SHA-256, hex; times milliseconds since the epoch. */
export type SessionCommand =
  | (SessionRef & {
      readonly command: 'StartSession';
      readonly refreshHash: string;
      readonly expiresAt: number;
      readonly login: boolean;
    })
  | {
      readonly command: 'RefreshSession';
      readonly session: string;
      readonly presentedHash: string;
      readonly nextHash: string;
      readonly now: number;
      readonly nextExpiresAt: number;
    }
  | { readonly command: 'EndSession'; readonly session: string };

/**
 * The rules of sessions (MessageJS sheet, section 4): the refresh token is rotated at use; the old one used again within
 * 30 s yields a fresh pair, later it ends the session.
 */
export const session: Aggregate<SessionState, SessionCommand> = {
  initial: { exists: false, workspace: 0, account: 0, refreshHash: '', replaced: [], expiresAt: 0, ended: false },

  decide(state, command) {
    if (command.command === 'StartSession') {
      if (state.exists) throw new DomainError('already-exists');
      const { command: _, ...data } = command;
      return [event('SessionStarted', data)];
    }
    const ref = { workspace: state.workspace, account: state.account, session: command.session };
    if (command.command === 'EndSession') {
      return state.exists && !state.ended ? [event('SessionEnded', { ...ref, reason: 'logout' })] : [];
    }
    if (!state.exists || state.ended || state.expiresAt <= command.now) throw new DomainError('session-ended');
    const { presentedHash, nextHash, nextExpiresAt, now } = command;
    if (presentedHash !== state.refreshHash) {
      const replaced = state.replaced.find((token) => token.hash === presentedHash);
      if (!replaced) throw new DomainError('credential-invalid');
      if (now - replaced.at > refreshGraceMs) return [event('SessionEnded', { ...ref, reason: 'token-reused' })];
    }
    return [
      event('SessionRefreshed', {
        ...ref,
        refreshHash: nextHash,
        previousHash: state.refreshHash,
        expiresAt: nextExpiresAt,
      }),
    ];
  },

  evolve(state, happened) {
    switch (happened.type) {
      case 'SessionStarted': {
        const { workspace, account, refreshHash, expiresAt } = happened.data;
        return { ...state, exists: true, workspace, account, refreshHash, expiresAt };
      }
      case 'SessionRefreshed': {
        const { refreshHash, previousHash, expiresAt } = happened.data;
        const replaced = [{ hash: previousHash, at: happened.at }, ...state.replaced].slice(0, rememberedTokens);
        return { ...state, refreshHash, expiresAt, replaced };
      }
      case 'SessionEnded':
        return { ...state, ended: true };
      default:
        return state;
    }
  },
};
