import pg from 'pg';
import t, { type Test } from 'tap';
import { streams } from '../../../src/commands/index.ts';
import { notification as notificationRules } from '../../../src/domain/notification.ts';
import { compareWithRebuild } from '../../../src/readside/index.ts';
import { input } from '../notifications/node.ts';
import { deliveryWorld, makeProject, owner, type Project, recipients, type World } from '../world.ts';
import { crashAt } from './crash.ts';

/** The names of streams under which the log still has content. */
async function streamsWithContent(world: World, like: string): Promise<string[]> {
  const rows = await world.ask<{ stream: string }>(
    'SELECT DISTINCT stream FROM log.events WHERE data IS NOT NULL AND stream LIKE $1 ORDER BY 1',
    [like],
  );
  return rows.map(({ stream }) => stream);
}

/** Resolves when the log has no content left under any of these streams. */
async function untilBlank(world: World, streams: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: world.url });
  await client.connect();
  try {
    let erased = Promise.withResolvers<void>();
    client.on('notification', () => erased.resolve());
    await client.query('LISTEN parley_log_erased');
    for (;;) {
      erased = Promise.withResolvers<void>();
      const { rows } = await client.query(
        'SELECT FROM log.events WHERE data IS NOT NULL AND stream = ANY ($1) LIMIT 1',
        [[...streams]],
      );
      if (rows.length === 0) return;
      await erased.promise;
    }
  } finally {
    await client.end();
  }
}

async function sameAsRebuilt(t: Test, world: World): Promise<void> {
  await world.projected();
  for (const { projection, differences } of await compareWithRebuild(world.url, world.node.log))
    t.same(differences, [], `${projection} as rebuilt`);
}

const streamsOf = ({ workspace, keyId, connector, template }: Project) => ({
  workspace: `workspace-${workspace}`,
  key: `key-${workspace}-${keyId}`,
  connector: `connector-${workspace}-${connector}`,
  template: `template-${workspace}-${template}`,
});

t.test('a deleted key, connector and template leave a tombstone and nothing else', async (t) => {
  const world = await deliveryWorld(t);
  world.callbacks = world.node.deliver();
  const project = await makeProject(world.node);
  const [dispatch = ''] = await project.send(...recipients(1));
  await world.journal.untilOf(dispatch, 'DispatchDelivered');
  const { workspaces } = world.node;
  await workspaces.revokeKey(owner, project.workspace, project.keyId);
  await workspaces.deleteConnector(owner, project.workspace, project.connector);
  await workspaces.deleteTemplate(owner, project.workspace, project.template);
  const { workspace, ...gone } = streamsOf(project);
  await untilBlank(world, Object.values(gone));
  t.same(
    await streamsWithContent(world, 'erased-%'),
    Object.values(gone)
      .map((stream) => `erased-${stream}`)
      .sort(),
  );
  t.same(await streamsWithContent(world, workspace), [workspace], 'the workspace lives');
  t.same(await streamsWithContent(world, `dispatch-${dispatch}`), [`dispatch-${dispatch}`], 'and so do its dispatches');
  await sameAsRebuilt(t, world);
});

t.test('a deleted project is erased with all that is in it; another is not touched', async (t) => {
  const world = await deliveryWorld(t);
  world.callbacks = world.node.deliver();
  const project = await makeProject(world.node);
  const other = await makeProject(world.node);
  const dispatches = await project.send(...recipients(30));
  const others = await other.send(...recipients(5));
  await world.journal.untilCount('DispatchDelivered', 35);
  await world.node.workspaces.deleteProject(owner, project.workspace);
  await untilBlank(world, [...Object.values(streamsOf(project)), ...dispatches.map((id) => `dispatch-${id}`)]);
  t.equal((await streamsWithContent(world, 'dispatch-%')).length, others.length);
  for (const stream of Object.values(streamsOf(other))) t.same(await streamsWithContent(world, stream), [stream]);
  const [row] = await world.ask(
    'SELECT count(*)::int AS n, bool_and(text IS NULL AND recipient IS NULL) AS blank FROM read.dispatches WHERE workspace = $1',
    [project.workspace],
  );
  t.same(row, { n: 30, blank: true });
  await sameAsRebuilt(t, world);
});

t.test('what waits in a deleted project is erased, not sent', async (t) => {
  const world = await deliveryWorld(t);
  const project = await makeProject(world.node);
  const dispatches = await project.send(...recipients(20));
  await world.node.workspaces.deleteProject(owner, project.workspace);
  world.node.deliver();
  await untilBlank(
    world,
    dispatches.map((id) => `dispatch-${id}`),
  );
  t.equal(world.sandbox.counts().whatsapp.sends, 0);
  await sameAsRebuilt(t, world);
});

t.test('notifications of a deleted project are erased, one that came after its erasure too', async (t) => {
  const world = await deliveryWorld(t);
  const { workspaces, door } = world.node;
  const project = await makeProject(world.node);
  const other = await makeProject(world.node);
  const accept = async (notification: string, { workspace }: Project, room: number | null = null) => {
    const ref = { workspace, notification, room };
    const type = room === null ? 'webhook' : 'websocket';
    const command = { command: 'AcceptNotification', ...input({}), ...ref, type, provider: null, now: 0 } as const;
    const recipients = room === null ? ['https://example.com/'] : [];
    const stream = streams.notification(notification);
    await door.execute(notificationRules, stream, { ...command, recipients }, owner, { isNew: true });
    return stream;
  };
  const gone = [await accept('n1', project), await accept('n2', project, 4)];
  const kept = await accept('n3', other);
  world.node.deliver();
  await workspaces.deleteProject(owner, project.workspace);
  await untilBlank(world, [...gone, `workspace-${project.workspace}`]);
  await untilBlank(world, [await accept('n4', project)]);
  t.same(await streamsWithContent(world, 'notification-%'), [kept]);
  const rows = await world.ask('SELECT notification, content FROM read.notifications ORDER BY 1');
  t.same(rows.slice(0, 2), [
    { notification: 'n1', content: null },
    { notification: 'n2', content: null },
  ]);
  await sameAsRebuilt(t, world);
});

t.test('more than a page', async (t) => {
  const world = await deliveryWorld(t);
  const project = await makeProject(world.node);
  for (let i = 0; i < 3; i++) await project.send(...recipients(400, i * 400));
  await world.node.workspaces.deleteProject(owner, project.workspace);
  world.node.deliver();
  await untilBlank(world, [`workspace-${project.workspace}`]);
  t.same(await streamsWithContent(world, 'dispatch-%'), []);
  const pages = world.journal.events.flatMap((e) => (e.type === 'DispatchesErased' ? [e.data.items.length] : []));
  t.same(pages, [500, 500, 200]);
  await sameAsRebuilt(t, world);
});

t.test('what another node accepts although the project was deleted is erased too', async (t) => {
  const world = await deliveryWorld(t);
  const delivery = world.node.deliver();
  const project = await makeProject(world.node);
  await world.node.workspaces.deleteProject(owner, project.workspace);
  await untilBlank(world, [`workspace-${project.workspace}`]);
  t.ok(delivery);
  // As a node does that has not heard of it: its look at the workspace was before.
  const late = 'a'.repeat(24);
  await world.node.log.append([
    {
      commitId: crypto.randomUUID(),
      stream: `dispatch-${late}`,
      expected: -1,
      at: Date.now(),
      events: [
        {
          type: 'DispatchAccepted',
          data: {
            workspace: project.workspace,
            dispatch: late,
            owner: { workspace: 1, account: 1 },
            key: project.keyId,
            connector: project.connector,
            connectorType: 'whatsapp',
            template: project.template,
            to: '15550107777',
            text: 'late',
          },
        },
      ],
    },
    {
      commitId: crypto.randomUUID(),
      stream: `key-${project.workspace}-99`,
      expected: -1,
      at: Date.now(),
      events: [
        {
          type: 'KeyIssued',
          data: {
            workspace: project.workspace,
            key: 99,
            name: 'late',
            mode: 'live',
            secretHash: 'x',
            rateLimit: 1,
            expiresAt: null,
          },
        },
      ],
    },
  ]);
  await untilBlank(world, [`dispatch-${late}`, `key-${project.workspace}-99`]);
  t.equal(world.sandbox.counts().whatsapp.sends, 0);
  await sameAsRebuilt(t, world);
});

for (const failsAt of [1, 2, 3, 7]) {
  t.test(`a crash after ${failsAt - 1} erased streams`, async (t) => {
    const world = await deliveryWorld(t);
    const project = await makeProject(world.node);
    const dispatches = await project.send(...recipients(6));
    await world.node.workspaces.deleteProject(owner, project.workspace);
    await crashAt(world, failsAt);
    await untilBlank(world, [...Object.values(streamsOf(project)), ...dispatches.map((id) => `dispatch-${id}`)]);
    await sameAsRebuilt(t, world);
  });
}

t.test('a new group begins anew and finds everything done', async (t) => {
  const world = await deliveryWorld(t);
  const project = await makeProject(world.node);
  const dispatches = await project.send(...recipients(6));
  await world.node.workspaces.deleteProject(owner, project.workspace);
  const first = world.node.deliver();
  await untilBlank(world, [...Object.values(streamsOf(project)), ...dispatches.map((id) => `dispatch-${id}`)]);
  await first.stop();
  await world.ask(`DELETE FROM work.checkpoints WHERE "group" = 'erasing'`);
  const before = await streamsWithContent(world, 'erased-%');
  const living = await makeProject(world.node);
  const [kept = ''] = await living.send(...recipients(1));
  const second = world.node.deliver();
  await world.journal.untilOf(kept, 'DispatchSent');
  await second.stop();
  t.same(await streamsWithContent(world, 'erased-%'), before);
  await sameAsRebuilt(t, world);
});
