import { type EventData, event } from '../../schemas/index.ts';
import type { Aggregate } from './aggregate.ts';
import { DomainError } from './errors.ts';

/** What is known of a workspace. */
export interface WorkspaceState {
  readonly exists: boolean;
  readonly deleted: boolean;
  readonly kind: EventData<'WorkspaceOpened'>['kind'];
  readonly owner: EventData<'WorkspaceOpened'>['owner'];
  readonly name: string;
  readonly description: string | null;
  /** Keys of one that is not fail, and so do those of its accounts. */
  readonly isActive: boolean;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** Commands of a workspace. */
export type WorkspaceCommand =
  | ({ readonly command: 'OpenWorkspace' } & EventData<'WorkspaceOpened'>)
  | ({ readonly command: 'ChangeWorkspace' } & EventData<'WorkspaceChanged'>)
  | { readonly command: 'DeleteWorkspace'; readonly workspace: number };

/** The rules of workspaces: once deleted, one does not exist. */
export const workspace: Aggregate<WorkspaceState, WorkspaceCommand> = {
  initial: {
    exists: false,
    deleted: false,
    kind: 'system',
    owner: null,
    name: '',
    description: null,
    isActive: true,
    createdAt: 0,
    updatedAt: 0,
  },

  decide(state, command) {
    if (command.command === 'OpenWorkspace') {
      if (state.exists || state.deleted) throw new DomainError('already-exists');
      const { command: _, ...data } = command;
      return [event('WorkspaceOpened', data)];
    }
    if (!state.exists) throw new DomainError('not-found');
    if (command.command === 'DeleteWorkspace') {
      return [event('WorkspaceDeleted', { workspace: command.workspace, owner: state.owner })];
    }
    const { command: _, ...data } = command;
    return [event('WorkspaceChanged', data)];
  },

  evolve(state, happened) {
    switch (happened.type) {
      case 'WorkspaceOpened': {
        const { kind, owner, name, description } = happened.data;
        return {
          ...state,
          exists: true,
          kind,
          owner,
          name,
          description,
          createdAt: happened.at,
          updatedAt: happened.at,
        };
      }
      case 'WorkspaceChanged': {
        const { name = state.name, description = state.description, isActive = state.isActive } = happened.data;
        return { ...state, name, description, isActive, updatedAt: happened.at };
      }
      case 'WorkspaceDeleted':
        return { ...state, exists: false, deleted: true };
      default:
        return state;
    }
  },
};
