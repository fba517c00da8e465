import { type EventData, event } from '../../schemas/index.ts';
import type { Aggregate, Happened } from './aggregate.ts';
import { DomainError } from './errors.ts';

/** Where a dispatch stands. It never goes backwards, and `failed` does not overwrite `delivered`. */
export type DispatchStatus = 'pending' | 'sent' | 'delivered' | 'failed';

/** What is known of a dispatch. */
export interface DispatchState {
  readonly status: DispatchStatus | 'none';
  readonly workspace: number;
  readonly dispatch: string;
  readonly connector: number;
  /** Attempts used up. */
  readonly attempt: number;
  /** The provider's id, null until it took the dispatch. */
  readonly externalId: string | null;
  /** When the next attempt was put off to, null when none was. */
  readonly retryAt: number | null;
}

/** Commands of a dispatch. Times are milliseconds since the epoch. */
export type DispatchCommand =
  | ({ readonly command: 'AcceptDispatch' } & EventData<'DispatchAccepted'>)
  | {
      readonly command: 'RecordSent';
      readonly externalId: string;
      readonly sentAt: number;
      readonly attempt: number;
      /** The provider says no more than this: it counts as delivered at once (Telegram). */
      readonly delivered: boolean;
    }
  | { readonly command: 'RecordDeferred'; readonly attempt: number; readonly retryAt: number; readonly error: string }
  | { readonly command: 'RecordFailed'; readonly attempt?: number; readonly error: string }
  /** A provider's word that it sent or delivered, or did not. `externalId` when the receipt names it. */
  | {
      readonly command: 'RecordReceipt';
      readonly status: 'sent' | 'delivered' | 'failed';
      readonly externalId: string | null;
      readonly error: string | null;
      readonly now: number;
    };

/** The rules of dispatches (MessageJS sheet, section 12). */
export const dispatch: Aggregate<DispatchState, DispatchCommand> = {
  initial: { status: 'none', workspace: 0, dispatch: '', connector: 0, attempt: 0, externalId: null, retryAt: null },

  decide(state, command) {
    if (command.command === 'AcceptDispatch') {
      if (state.status !== 'none') throw new DomainError('already-exists');
      // Named one by one: on the hot path a copy of "the rest" costs as much as all else here.
      const { workspace, dispatch, owner, key, connector, connectorType, template, to, text } = command;
      const data = { workspace, dispatch, owner, key, connector, connectorType, template, to, text };
      return [event('DispatchAccepted', data)];
    }
    if (state.status === 'none') throw new DomainError('not-found');
    const ref = { workspace: state.workspace, dispatch: state.dispatch };
    switch (command.command) {
      case 'RecordSent': {
        const { externalId, sentAt, attempt } = command;
        if (state.externalId !== null || state.status === 'failed') return [];
        const sent = event('DispatchSent', { ...ref, connector: state.connector, externalId, attempt, sentAt });
        const delivered = command.delivered && state.status !== 'delivered';
        return delivered ? [sent, event('DispatchDelivered', { ...ref, deliveredAt: sentAt })] : [sent];
      }
      case 'RecordDeferred': {
        const { attempt, retryAt, error } = command;
        // Recorded again by who was not told that it stands.
        const isRepeat = state.attempt === attempt && state.retryAt === retryAt;
        if (state.status !== 'pending' || isRepeat) return [];
        return [event('DispatchDeferred', { ...ref, attempt, retryAt, error })];
      }
      case 'RecordFailed':
        if (state.status !== 'pending') return [];
        return [event('DispatchFailed', { ...ref, error: command.error, attempt: command.attempt ?? state.attempt })];
      case 'RecordReceipt':
        return decideReceipt(state, command);
    }
  },

  evolve(state, happened) {
    switch (happened.type) {
      case 'DispatchAccepted': {
        const { workspace, dispatch, connector } = happened.data;
        return { ...state, status: 'pending', workspace, dispatch, connector };
      }
      case 'DispatchSent': {
        const { externalId, attempt } = happened.data;
        return { ...state, status: state.status === 'pending' ? 'sent' : state.status, externalId, attempt };
      }
      case 'DispatchDelivered':
        return { ...state, status: 'delivered' };
      case 'DispatchFailed':
        return { ...state, status: 'failed', attempt: happened.data.attempt };
      case 'DispatchDeferred':
        return { ...state, attempt: happened.data.attempt, retryAt: happened.data.retryAt };
      default:
        return state;
    }
  },
};

/** The state of a dispatch that was sent at its first attempt: the event right after its acceptance tells all of it. */
export function stateOnceSent(sent: Happened & { readonly type: 'DispatchSent' }): DispatchState {
  const { workspace, dispatch: id, connector } = sent.data;
  return dispatch.evolve({ ...dispatch.initial, status: 'pending', workspace, dispatch: id, connector }, sent);
}

function decideReceipt(state: DispatchState, command: Extract<DispatchCommand, { command: 'RecordReceipt' }>) {
  const ref = { workspace: state.workspace, dispatch: state.dispatch };
  const { status, externalId, now } = command;
  switch (status) {
    case 'sent':
      // A receipt can overtake the answer to the send itself: then it is what tells that the provider took it.
      if (state.status !== 'pending' || externalId === null) return [];
      return [
        event('DispatchSent', {
          ...ref,
          connector: state.connector,
          externalId,
          attempt: state.attempt + 1,
          sentAt: now,
        }),
      ];
    case 'delivered': {
      if (state.status === 'delivered' || state.status === 'failed') return [];
      const delivered = event('DispatchDelivered', { ...ref, deliveredAt: now });
      if (state.status === 'sent' || externalId === null) return [delivered];
      return [
        event('DispatchSent', {
          ...ref,
          connector: state.connector,
          externalId,
          attempt: state.attempt + 1,
          sentAt: now,
        }),
        delivered,
      ];
    }
    case 'failed':
      if (state.status === 'delivered' || state.status === 'failed') return [];
      return [
        event('DispatchFailed', {
          ...ref,
          error: command.error ?? 'the provider reported a failure',
          attempt: state.attempt,
        }),
      ];
  }
}
