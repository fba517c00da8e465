import { type EventData, event, type ReceiptCommand } from '../../schemas/index.ts';
import type { Aggregate } from './aggregate.ts';

/** What one account's receipts of one message say. */
export interface ReceiptState {
  readonly delivered: boolean;
  readonly read: boolean;
}

/**
 * The rules of receipts: each status once; what was read was delivered first. Whether the account may (is it a member, does
 * it see the message, is it its own?) is the command's to ask, of `canSee`.
 */
export const receipt: Aggregate<ReceiptState, ReceiptCommand> = {
  initial: { delivered: false, read: false },

  decide(state, command) {
    const { command: _, status, ...ref } = command;
    if (status === 'delivered') {
      return state.delivered ? [] : [event('ReceiptRecorded', { ...ref, status })];
    }
    if (state.read) return [];
    const read = event('ReceiptRecorded', { ...ref, status });
    return state.delivered ? [read] : [event('ReceiptRecorded', { ...ref, status: 'delivered' }), read];
  },

  evolve(state, happened) {
    return happened.type === 'ReceiptRecorded' ? { ...state, [happened.data.status]: true } : state;
  },
};

/** Commands of one watermark: a stream holds one, so that marking the same again is nothing to do. */
export type WatermarkCommand = { readonly command: 'MoveWatermark' } & EventData<'WatermarkMoved'>;

/** The rules of watermarks. Which of an account's in a room is the highest is what is read, whatever order they came in. */
export const watermark: Aggregate<{ readonly moved: boolean }, WatermarkCommand> = {
  initial: { moved: false },

  decide(state, { command: _, ...data }) {
    return state.moved ? [] : [event('WatermarkMoved', data)];
  },

  evolve(state, happened) {
    return happened.type === 'WatermarkMoved' ? { moved: true } : state;
  },
};
