import { type DomainEvent, type EventData, event } from '../../schemas/index.ts';

/** An open group that account 1 made, unless told otherwise. */
export function groupCreated(
  ref: { readonly workspace: number; readonly room: number },
  settings: Partial<EventData<'RoomCreated'>> = {},
): DomainEvent<'RoomCreated'> {
  return event('RoomCreated', {
    ...ref,
    kind: 'group',
    name: 'Room',
    description: null,
    avatar: null,
    joinPolicy: 'open',
    postPolicy: 'members',
    visibility: 'members',
    maxMembers: null,
    meta: null,
    creator: 1,
    claim: null,
    ...settings,
  });
}
