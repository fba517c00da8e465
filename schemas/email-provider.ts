import { z } from 'zod';
import { id } from './common.ts';
import { defineEvent } from './event.ts';

/** Streams: one per workspace that has providers of its own. */
export const emailProviderEvents = {
  /**
   * All of a workspace's e-mail providers, in the order in which they are tried: what stood before is no more. `sealed` holds
   * everything about a provider, as JSON (AES-256-GCM, design promise 10).
   */
  EmailProvidersSet: defineEvent(
    z.object({ workspace: id, providers: z.array(z.object({ type: z.string(), sealed: z.string() })) }),
  ),
};
