import { z } from 'zod';
import { id } from './common.ts';
import { connectorTypes } from './connector.ts';
import { defineEvent } from './event.ts';

/** Streams: one per template. */
export const templateEvents = {
  TemplateCreated: defineEvent(
    z.object({
      workspace: id,
      template: id,
      name: z.string(),
      connectorType: z.enum(connectorTypes),
      content: z.string(),
      variables: z.array(z.string()),
    }),
  ),
  /** Only the fields given change. */
  TemplateChanged: defineEvent(
    z.object({
      workspace: id,
      template: id,
      name: z.string().optional(),
      content: z.string().optional(),
      variables: z.array(z.string()).optional(),
      isActive: z.boolean().optional(),
    }),
  ),
  TemplateDeleted: defineEvent(z.object({ workspace: id, template: id })),
};
