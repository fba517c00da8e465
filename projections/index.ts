/** Every projection there is, in the order in which they are applied. The contract is in `projection.ts`. */
import { accounts } from './accounts/apply.ts';
import { connectors } from './connectors/apply.ts';
import { devices } from './devices/apply.ts';
import { dispatches } from './dispatches/apply.ts';
import { ids } from './ids/apply.ts';
import { keys } from './keys/apply.ts';
import { messages } from './messages/apply.ts';
import { notifications } from './notifications/apply.ts';
import type { Projection } from './projection.ts';
import { receipts } from './receipts/apply.ts';
import { rooms } from './rooms/apply.ts';
import { templates } from './templates/apply.ts';
import { webhooks } from './webhooks/apply.ts';
import { workspaces } from './workspaces/apply.ts';

export type { AccountRef, Listed, Page, Projection, Queryable } from './projection.ts';

/** All of them. */
export const projections: readonly Projection[] = [
  accounts,
  workspaces,
  keys,
  devices,
  rooms,
  messages,
  connectors,
  templates,
  dispatches,
  receipts,
  webhooks,
  notifications,
  ids,
];
