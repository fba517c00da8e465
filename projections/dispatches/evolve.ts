import type { EventData } from '../../schemas/index.ts';
import type { RecordedEvent } from '../projection.ts';

/** Where a dispatch stands. */
export type DispatchStatus = 'pending' | 'sent' | 'delivered' | 'failed';

/** The event that makes a row. */
export type Accepted = RecordedEvent & { readonly type: 'DispatchAccepted' };

/** The events that change one. */
export type Later = RecordedEvent & {
  readonly type: 'DispatchSent' | 'DispatchDelivered' | 'DispatchFailed' | 'DispatchDeferred';
};

/** What an event "erased" says of one dispatch. */
export type ErasedItem = EventData<'DispatchesErased'>['items'][number];

/** A row of `dispatches`. Times are milliseconds since the epoch. */
export interface DispatchRow {
  readonly dispatch: string;
  readonly workspace: number;
  readonly ownerWorkspace: number;
  readonly ownerAccount: number;
  readonly key: number;
  readonly connector: number;
  readonly connectorType: string;
  readonly template: number;
  readonly recipient: string | null;
  readonly text: string | null;
  readonly createdAt: number;
  readonly status: DispatchStatus;
  readonly attempts: number;
  readonly due: number | null;
  readonly externalId: string | null;
  readonly error: string | null;
  readonly sentAt: number | null;
  readonly deliveredAt: number | null;
  /** Null once erased. */
  readonly revision: number | null;
  readonly erased: boolean;
}

/** The row of a dispatch that was just accepted: due at once. */
export function acceptedRow({ data, at, revision }: Accepted): DispatchRow {
  return {
    dispatch: data.dispatch,
    workspace: data.workspace,
    ownerWorkspace: data.owner.workspace,
    ownerAccount: data.owner.account,
    key: data.key,
    connector: data.connector,
    connectorType: data.connectorType,
    template: data.template,
    recipient: data.to,
    text: data.text,
    createdAt: at,
    status: 'pending',
    attempts: 0,
    due: at,
    externalId: null,
    error: null,
    sentAt: null,
    deliveredAt: null,
    revision,
    erased: false,
  };
}

/**
 * The row after one more event, by the domain's rules: a status never goes backwards, and whatever arrives for a tombstone
 * changes nothing.
 */
export function evolveRow(row: DispatchRow, event: Later): DispatchRow {
  if (row.erased) return row;
  const { revision } = event;
  switch (event.type) {
    case 'DispatchSent': {
      const { externalId, attempt, sentAt } = event.data;
      const status = row.status === 'pending' ? 'sent' : row.status;
      const error = status === 'sent' ? null : row.error;
      return { ...row, revision, status, due: null, externalId, attempts: attempt, sentAt, error };
    }
    case 'DispatchDelivered':
      return { ...row, revision, status: 'delivered', due: null, deliveredAt: event.data.deliveredAt, error: null };
    case 'DispatchFailed':
      return { ...row, revision, status: 'failed', due: null, attempts: event.data.attempt, error: event.data.error };
    case 'DispatchDeferred': {
      const { attempt, retryAt, error } = event.data;
      if (row.status !== 'pending') return { ...row, revision, attempts: attempt };
      return { ...row, revision, attempts: attempt, due: retryAt, error };
    }
  }
}

/** What stays of an erased dispatch: what roll-ups need, as its event "erased" says it, whatever the row said. */
export function tombstone(workspace: number, item: ErasedItem): DispatchRow {
  return {
    dispatch: item.dispatch,
    workspace,
    ownerWorkspace: item.owner.workspace,
    ownerAccount: item.owner.account,
    key: item.key,
    connector: item.connector,
    connectorType: item.connectorType,
    template: item.template,
    recipient: null,
    text: null,
    createdAt: item.createdAt,
    status: item.status,
    attempts: 0,
    due: null,
    externalId: null,
    error: null,
    sentAt: item.sentAt,
    deliveredAt: item.deliveredAt,
    revision: null,
    erased: true,
  };
}
