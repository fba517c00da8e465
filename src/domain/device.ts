import { type DomainEvent, type EventData, event } from '../../schemas/index.ts';
import type { Aggregate } from './aggregate.ts';
import { DomainError } from './errors.ts';

/** What is known of a device. */
export interface DeviceState {
  readonly exists: boolean;
  readonly account: number;
  readonly identifier: string;
  /** The claim that holds its identifier. */
  readonly claim: string;
  readonly deviceType: string | null;
  readonly name: string | null;
  readonly osName: string | null;
  readonly osVersion: string | null;
  readonly appVersion: string | null;
  readonly pushToken: string | null;
  /** What signs its account in; null for none. Times in milliseconds since the epoch. */
  readonly token: { readonly secretHash: string; readonly sealed: string; readonly expiresAt: number | null } | null;
  readonly registeredAt: number;
}

type Details = Omit<EventData<'DeviceChanged'>, 'workspace' | 'device' | 'account'>;
type DeviceRef = { readonly workspace: number; readonly device: number };

/** Commands of a device. */
export type DeviceCommand =
  | ({ readonly command: 'RegisterDevice'; readonly details: Details } & EventData<'DeviceRegistered'>)
  /** Ends its token when it is bound to another account. */
  | ({ readonly command: 'ChangeDevice' } & EventData<'DeviceChanged'>)
  | ({ readonly command: 'IssueDeviceToken' } & EventData<'DeviceTokenIssued'>)
  | ({ readonly command: 'EndDeviceToken' } & DeviceRef)
  | ({ readonly command: 'DeleteDevice' } & DeviceRef);

/** The rules of devices: a deleted one does not exist. */
export const device: Aggregate<DeviceState, DeviceCommand> = {
  initial: {
    exists: false,
    account: 0,
    identifier: '',
    claim: '',
    deviceType: null,
    name: null,
    osName: null,
    osVersion: null,
    appVersion: null,
    pushToken: null,
    token: null,
    registeredAt: 0,
  },

  decide(state, command) {
    const ref = { workspace: command.workspace, device: command.device };
    if (command.command === 'RegisterDevice') {
      if (state.exists) throw new DomainError('already-exists');
      const { account, identifier, claim, details } = command;
      const registered = event('DeviceRegistered', { ...ref, account, identifier, claim });
      return Object.keys(details).length > 0
        ? [registered, event('DeviceChanged', { ...ref, ...details })]
        : [registered];
    }
    if (!state.exists) throw new DomainError('not-found');
    const ended: DomainEvent[] = state.token ? [event('DeviceTokenEnded', ref)] : [];
    switch (command.command) {
      case 'ChangeDevice': {
        const { command: _, ...data } = command;
        const rebound = data.account !== undefined && data.account !== state.account;
        return [...(rebound ? ended : []), event('DeviceChanged', data)];
      }
      case 'IssueDeviceToken': {
        const { command: _, ...data } = command;
        return [event('DeviceTokenIssued', data)];
      }
      case 'EndDeviceToken':
        return ended;
      case 'DeleteDevice':
        return [event('DeviceDeleted', ref)];
    }
  },

  evolve(state, happened) {
    switch (happened.type) {
      case 'DeviceRegistered': {
        const { account, identifier, claim } = happened.data;
        return { ...state, exists: true, account, identifier, claim, registeredAt: happened.at };
      }
      case 'DeviceChanged': {
        const { workspace: _, device: __, ...data } = happened.data;
        const changed = Object.entries(data).filter(([, value]) => value !== undefined);
        return { ...state, ...(Object.fromEntries(changed) as Partial<DeviceState>) };
      }
      case 'DeviceTokenIssued': {
        const { secretHash, sealed, expiresAt } = happened.data;
        return { ...state, token: { secretHash, sealed, expiresAt } };
      }
      case 'DeviceTokenEnded':
        return { ...state, token: null };
      case 'DeviceDeleted':
        return device.initial;
      default:
        return state;
    }
  },
};
