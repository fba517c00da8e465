import t from 'tap';
import { event } from '../../../schemas/index.ts';
import { ErasureCommands, erasedStreams } from '../../../src/commands/index.ts';
import { deliveryWorld, makeProject, owner, recipients } from '../world.ts';

t.test('nothing that lives is erased', async (t) => {
  const world = await deliveryWorld(t);
  const erasures = new ErasureCommands(world.node);
  const { workspace, keyId, connector, template, send } = await makeProject(world.node);
  const [dispatch = ''] = await send(...recipients(1));
  const item = {
    dispatch,
    owner: { workspace: 1, account: 1 },
    key: keyId,
    connector,
    connectorType: 'whatsapp' as const,
    template,
    status: 'pending' as const,
    createdAt: 0,
    sentAt: null,
    deliveredAt: null,
  };
  const all = [
    event('KeyErased', { workspace, key: keyId }),
    event('ConnectorErased', { workspace, connector, connectorType: 'whatsapp' }),
    event('TemplateErased', { workspace, template, connectorType: 'whatsapp' }),
    event('DispatchesErased', { workspace, items: [item] }),
    event('WorkspaceErased', { workspace, kind: 'project', owner: { workspace: 1, account: 1 }, createdAt: 0 }),
  ];
  for (const erased of all) await t.rejects(erasures.append([erased]), /not deleted/, erased.type);
  t.equal(await erasures.ofWorkspace(workspace), null);
  t.equal(await erasures.standingOf(12_345), 'lives', 'nor what nobody knows');
  await t.rejects(erasures.append([event('DispatchesErased', { workspace: 12_345, items: [item] })]), /not deleted/);

  await world.node.workspaces.deleteProject(owner, workspace);
  t.equal(await erasures.standingOf(workspace), 'deleted');
  t.match(await erasures.ofWorkspace(workspace), { data: { workspace, kind: 'project' } });
  await erasures.append(all);
  await erasures.append(all);
  await world.journal.caughtUp();
  const appended = world.journal.events.filter(({ type }) => type.endsWith('Erased')).map(({ type }) => type);
  t.same(
    appended,
    all.map(({ type }) => type),
    'each once',
  );
  await world.node.log.erase(all.flatMap(erasedStreams));
  erasures.forget(`workspace-${workspace}`);
  t.equal(await erasures.standingOf(workspace), 'erased');
  t.equal(await erasures.ofWorkspace(workspace), null);
});
