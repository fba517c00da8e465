/** Erasing stored files that nobody shows (design, promise 12). */
import t, { type Test } from 'tap';
import {
  type Actor,
  ChatAccountCommands,
  ClientCommands,
  FileCommands,
  IdAllocator,
  Idempotency,
  streams,
} from '../../../src/commands/index.ts';
import { workspace as workspaceRules } from '../../../src/domain/workspace.ts';
import { PasswordHasher } from '../../../src/platform/crypto.ts';
import { IdSpeller } from '../../../src/platform/ids.ts';
import { openPool } from '../../../src/platform/postgres.ts';
import { until } from '../../support/until.ts';
import { deliveryWorld, type World } from '../world.ts';

/** Commands on the world's first node, and a client with a user. */
async function owner(t: Test, world: World) {
  const { door } = world.node;
  const pool = openPool({ url: world.url, name: 'test-files', maxConnections: 4 });
  t.teardown(() => pool.end());
  const ids = new IdAllocator(pool, async (_, kind) => (kind === 'workspace' ? 2 : 0));
  const nameKey = Buffer.alloc(32, 1);
  const speller = new IdSpeller(Buffer.alloc(32, 2));
  const idempotency = new Idempotency({ door, nameKey });
  const people = new ChatAccountCommands({ door, ids, idempotency, passwords: new PasswordHasher(), speller, nameKey });
  const clients = new ClientCommands({ door, ids, speller });
  const { workspace } = await clients.createClient({ name: 'Shop', description: null });
  const input = { email: 'ada@example.com', username: 'ada', fullName: null, keyLifeMs: null };
  const master: Actor = { workspace, account: 0 };
  const { account } = await people.createUser(master, input);
  const ada: Actor = { workspace, account };
  const files = new FileCommands({ people, pool });
  const change = (bytes: string) => files.changeAvatar(ada, { kind: 'png', bytes: Buffer.from(bytes) });
  return { ada, people, change, master };
}

const left = async (world: World) =>
  (await world.ask<{ bytes: Buffer }>('SELECT bytes FROM work.files ORDER BY file')).map(({ bytes }) =>
    bytes.toString(),
  );

async function untilLeft(world: World, ...wanted: string[]): Promise<void> {
  await until(async () => (await left(world)).join() === wanted.join());
}

/** Stores what a process leaves that ended between the bytes and their event. */
const abandon = (world: World, { workspace, account }: Actor, bytes: string, age: string) =>
  world.ask(
    `INSERT INTO work.files (workspace, account, kind, digest, bytes, stored_at)
      VALUES ($1, $2, 'png', '\\x00', $3, now() - $4::interval)`,
    [workspace, account, Buffer.from(bytes), age],
  );

t.test('what was replaced goes, and what never got its event; what is shown or under way stays', async (t) => {
  const world = await deliveryWorld(t);
  const { ada, people, change } = await owner(t, world);
  await change('first');
  await change('second');
  await abandon(world, ada, 'abandoned', '2 hours');
  await abandon(world, ada, 'under way', '1 minute');
  // The group has not met its event yet when it is looked for.
  await world.ask("UPDATE work.files SET stored_at = now() - interval '2 hours' WHERE bytes = 'second'");
  t.same(await left(world), ['first', 'second', 'abandoned', 'under way'], 'before anything is swept');
  world.node.deliver();
  await untilLeft(world, 'second', 'under way');

  await people.changeUser(ada, ada.account, { profile: { avatar: null } });
  await untilLeft(world, 'under way');
  await change('third');
  await people.changeUser(ada, ada.account, { profile: { bio: 'other changes change nothing' } });
  await people.deleteUser(ada, ada.account);
  await untilLeft(world, 'under way');
  await t.rejects(change('late'), { code: 'not-found' });
  t.same(await left(world), ['under way'], 'a refusal leaves nothing');
});

t.test('a deleted client takes all files of its people along', async (t) => {
  const world = await deliveryWorld(t);
  const { ada, change, master } = await owner(t, world);
  const { workspace } = ada;
  await change('shown');
  await abandon(world, ada, 'under way', '1 minute');
  const home = streams.workspace(workspace);
  await world.node.door.execute(workspaceRules, home, { command: 'DeleteWorkspace', workspace }, master);
  await world.projected();
  world.node.deliver();
  await untilLeft(world);
  t.same(await left(world), []);
});
