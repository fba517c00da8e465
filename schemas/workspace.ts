import { z } from 'zod';
import { accountRef, id } from './common.ts';
import { defineEvent } from './event.ts';

/** Streams: one per workspace. Account 0 of a workspace is its service account; it comes with the workspace. */
export const workspaceEvents = {
  /** `owner` is null for workspaces that nobody owns (the system ones). */
  WorkspaceOpened: defineEvent(
    z.object({
      workspace: id,
      kind: z.enum(['system', 'project', 'client']),
      owner: accountRef.nullable(),
      name: z.string(),
      description: z.string().nullable(),
    }),
  ),
  /** Only the fields given change. While `isActive` is false its keys fail, and so do those of its accounts. */
  WorkspaceChanged: defineEvent(
    z.object({
      workspace: id,
      name: z.string().optional(),
      description: z.string().nullable().optional(),
      isActive: z.boolean().optional(),
    }),
  ),
  /** Its credentials die and everything in it is hidden from here on; erasing the content follows in steps. */
  WorkspaceDeleted: defineEvent(z.object({ workspace: id, owner: accountRef.nullable() })),
};
