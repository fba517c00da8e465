import { type EventData, event } from '../../schemas/index.ts';
import type { Aggregate } from './aggregate.ts';
import { DomainError } from './errors.ts';

/** What is known of a connector. */
export interface ConnectorState {
  readonly exists: boolean;
  readonly workspace: number;
  readonly connector: number;
  readonly connectorType: EventData<'ConnectorCreated'>['connectorType'];
  readonly name: string;
  readonly isActive: boolean;
  /** Credentials, sealed. */
  readonly sealed: string;
  readonly senderHash: string | null;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** Commands of a connector. */
export type ConnectorCommand =
  | ({ readonly command: 'CreateConnector' } & EventData<'ConnectorCreated'>)
  | ({ readonly command: 'ChangeConnector' } & EventData<'ConnectorChanged'>)
  | { readonly command: 'DeleteConnector'; readonly workspace: number; readonly connector: number };

/** The rules of connectors: a deleted one does not exist. */
export const connector: Aggregate<ConnectorState, ConnectorCommand> = {
  initial: {
    exists: false,
    workspace: 0,
    connector: 0,
    connectorType: 'whatsapp',
    name: '',
    isActive: false,
    sealed: '',
    senderHash: null,
    createdAt: 0,
    updatedAt: 0,
  },

  decide(state, command) {
    if (command.command === 'CreateConnector') {
      if (state.exists) throw new DomainError('already-exists');
      const { command: _, ...data } = command;
      return [event('ConnectorCreated', data)];
    }
    if (!state.exists) throw new DomainError('connector-not-found');
    if (command.command === 'DeleteConnector') {
      return [event('ConnectorDeleted', { workspace: command.workspace, connector: command.connector })];
    }
    const { command: _, ...data } = command;
    return [event('ConnectorChanged', data)];
  },

  evolve(state, happened) {
    switch (happened.type) {
      case 'ConnectorCreated':
        return {
          ...state,
          ...happened.data,
          exists: true,
          isActive: true,
          createdAt: happened.at,
          updatedAt: happened.at,
        };
      case 'ConnectorChanged': {
        const {
          name = state.name,
          isActive = state.isActive,
          sealed = state.sealed,
          senderHash = state.senderHash,
        } = happened.data;
        return { ...state, name, isActive, sealed, senderHash, updatedAt: happened.at };
      }
      case 'ConnectorDeleted':
        return { ...state, exists: false, sealed: '' };
      default:
        return state;
    }
  },
};
