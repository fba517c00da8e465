/** Whom what happens in rooms is for, in the dialects whose sockets follow rooms. */
import type { Route, SocketDialect } from '../gateway/index.ts';

type Event = Parameters<SocketDialect<unknown>['route']>[0];

/**
 * Whom an event of a room is for: messages and memberships for its members, and what changes who that is or which content
 * still exists; null for all else. A message with an audience goes to those who are in it.
 */
export function roomRoute(event: Event): Route | null {
  switch (event.type) {
    case 'MessagePosted': {
      const { workspace, room, audience } = event.data;
      return audience === null ? { workspace, room } : { workspace, accounts: audience.receivers };
    }
    case 'MessageDeleted': {
      const { workspace, room, scope, account } = event.data;
      return scope === 'everyone' ? { workspace, room, voids: [event.stream] } : { workspace, accounts: [account] };
    }
    case 'MembershipStarted': {
      const { workspace, room, account } = event.data;
      return { workspace, room, joined: [account] };
    }
    case 'MembershipEnded': {
      const { workspace, room, account } = event.data;
      return { workspace, room, left: [account] };
    }
    case 'RoomDeleted': {
      const { workspace, room, erase } = event.data;
      const inIt = ({ data }: Event) => 'room' in data && data.workspace === workspace && data.room === room;
      return { workspace, room, closesRoom: true, ...(erase && { voidsWhere: inIt }) };
    }
    case 'AccountDeleted': {
      const { workspace, account, messages } = event.data;
      if (messages !== 'erase') return null;
      return {
        workspace,
        voidsWhere: ({ type, data }) =>
          type === 'MessagePosted' && data.workspace === workspace && data.sender === account,
      };
    }
    default:
      return null;
  }
}
