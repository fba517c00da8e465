/** Events that webhooks tell of, and how. Knows nothing of tap, so that benchmarks can use it. */
import { randomUUID } from 'node:crypto';
import { event, type RecordedEvent } from '../../../schemas/index.ts';
import type { CommandDoor } from '../../../src/commands/index.ts';
import type { WebhookDialect } from '../../../src/delivery/index.ts';

/** Tells of messages as a dialect would. */
export const testDialect: WebhookDialect = {
  eventTypes: new Set(['MessagePosted', 'MessageDeleted', 'TemplateCreated']),
  render: async (events) => events.map(rendered),
  spellWorkspace: (workspace) => `client-${workspace}`,
  spellWebhook: (workspace, webhook) => `webhook-${workspace}-${webhook}`,
};

function rendered({ type, data }: RecordedEvent) {
  switch (type) {
    case 'MessagePosted':
      return { event: 'message.created', room: data.room, data: { message: data.message, text: data.body.text } };
    case 'MessageDeleted':
      return { event: 'message.deleted', room: data.room, data: { message: data.message } };
    case 'TemplateCreated':
      return { event: 'message.created', room: null, data: { message: data.template, text: data.content } };
    default:
      return null;
  }
}

/** Appends messages as the chat core would, without its rules. */
export async function postMessages(
  door: CommandDoor,
  numbers: readonly number[],
  { workspace, room, text }: { workspace: number; room: number; text: string },
): Promise<void> {
  for (let i = 0; i < numbers.length; i += 1_000) {
    const outcomes = await door.appendAll(
      numbers.slice(i, i + 1_000).map((message) => ({
        commitId: randomUUID(),
        stream: `message-${workspace}-${message}`,
        expected: -1,
        events: [
          event('MessagePosted', {
            workspace,
            room,
            message,
            sender: 1,
            profileRevision: 0,
            senderName: null,
            device: null,
            body: { kind: 'text', text },
            meta: null,
            replyTo: null,
            forwardedFrom: null,
            audience: null,
          }),
        ],
        at: door.clock.now(),
      })),
    );
    if (outcomes.some(({ outcome }) => outcome !== 'written')) throw new Error('not all messages were written');
  }
}
