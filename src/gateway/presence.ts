import type pg from 'pg';
import { Connections } from './connections.ts';
import type { Gateway } from './gateway.ts';

/** Who has a connection, in any process. */
export type Presence = Pick<Gateway, 'online' | 'onlineIn'>;

/** Answers it in a process that has no gateway of its own: from the leases of those that have. */
export function openPresence(pool: pg.Pool): Presence {
  // Asked alone: without connections of its own there is nothing to keep, and no trouble to tell.
  const connections = new Connections({ pool, onTrouble: () => {} });
  return {
    online: (workspace, accounts) => connections.online(workspace, accounts),
    onlineIn: (workspace, maxAccounts) => connections.onlineIn(workspace, maxAccounts),
  };
}
