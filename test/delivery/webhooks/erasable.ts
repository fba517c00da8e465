import { event } from '../../../schemas/index.ts';
import type { World } from './world.ts';

/** Things that are told of, and can be erased. */
export async function tell({ node }: World, numbers: readonly number[]): Promise<void> {
  await node.door.appendAll(
    numbers.map((template) => ({
      commitId: crypto.randomUUID(),
      stream: `template-7-${template}`,
      expected: -1,
      events: [
        event('TemplateCreated', {
          workspace: 7,
          template,
          name: 'secret words',
          connectorType: 'twilio',
          content: 'secret words',
          variables: [],
        }),
      ],
      at: node.door.clock.now(),
    })),
  );
}

/** As the chore that erases does: the event "erased", then the stream. */
export async function erase({ node }: World, template: number): Promise<void> {
  await node.door.append({
    commitId: crypto.randomUUID(),
    stream: `erased-template-7-${template}`,
    expected: -1,
    events: [event('TemplateErased', { workspace: 7, template, connectorType: 'twilio' })],
    at: node.door.clock.now(),
  });
  await node.log.erase([`template-7-${template}`]);
}
