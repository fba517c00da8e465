/** Rows and delivery through a real Kafka, by several processes' worth of each. */
import t from 'tap';
import { codec } from '../../schemas/index.ts';
import { openKafkaFeed } from '../../src/feed/kafka.ts';
import { startRelay } from '../../src/feed/relay.ts';
import { groupLag, projectorGroup } from '../../src/readside/index.ts';
import { kafkaForFile, topicPrefix } from '../support/kafka/kafka-test.ts';
import { eachOnce, sameAsRebuilt, sharedWorld } from './shared.ts';
import { makeProject, owner, recipients, silent } from './world.ts';

const brokers = await kafkaForFile();

if (brokers) {
  await t.test('everything is sent once, received and erased, with processes that come and go', async (t) => {
    const topic = { brokers, partitions: 3, topicPrefix: topicPrefix() };
    let relaying = false;
    const { world, deliver } = await sharedWorld(t, ({ log, pool }) => {
      if (!relaying) {
        relaying = true;
        const relay = startRelay({ ...topic, url: pool.options.connectionString ?? '', log, codec, logger: silent });
        t.teardown(() => relay.stop());
      }
      return openKafkaFeed({ ...topic, pool, history: log, codec, logger: silent });
    });
    const works = deliver();
    const project = await makeProject(world.node);
    const other = await makeProject(world.node, 'twilio');
    const sent = [...(await project.send(...recipients(30))), ...(await other.send(...recipients(10)))];
    await world.journal.untilCount('DispatchDelivered', sent.length);
    eachOnce(t, world, sent);
    await sameAsRebuilt(t, world);
    t.match(await groupLag(world.read, world.log, projectorGroup), { position: await world.log.head(), events: 0 });

    await works[0].stop();
    const more = await project.send(...recipients(20, 100));
    await world.journal.untilCount('DispatchDelivered', sent.length + more.length);
    eachOnce(t, world, more);

    await world.node.workspaces.deleteProject(owner, project.workspace);
    await world.journal.untilCount('WorkspaceErased', 1);
    await sameAsRebuilt(t, world);
  });
}
