import t, { type Test } from 'tap';
import { event } from '../../schemas/index.ts';
import {
  type Actor,
  type EmailProvider,
  EmailProviderCommands,
  emailProviderShape,
  erasedStreams,
} from '../../src/commands/index.ts';
import { Sealer } from '../../src/platform/crypto.ts';
import { outboundGuard } from '../../src/platform/outbound-guard.ts';
import { type Node, refusal, world } from './world.ts';

const actor: Actor = { workspace: 7, account: 0 };
const guard = outboundGuard();

function provider(config: object): EmailProvider {
  return emailProviderShape().parse({ provider_config: config, default_from_email: 'me@example.com' });
}

const ses = provider({ provider_type: 'ses', aws_access_key_id: 'AKID', aws_secret_access_key: 'secret-of-ses' });
const postmark = provider({ provider_type: 'postmark', server_token: 'token-of-postmark' });

function commandsOf(node: Node): EmailProviderCommands {
  return new EmailProviderCommands({ door: node.door, sealer: new Sealer([Buffer.alloc(32, 3)]), guard });
}

async function ground(t: Test) {
  const here = await world(t);
  return { here, node: await here.node() };
}

t.test('two at once are both kept, and every node opens them', async (t) => {
  const { here, node } = await ground(t);
  const other = await here.node();
  const [commands, others] = [commandsOf(node), commandsOf(other)];
  await Promise.all([commands.setProvider(actor, ses), others.setProvider(actor, postmark)]);
  // Whichever was last, the other node hears of it by its tail.
  await other.log.taken(await node.log.head());
  const types = (await others.providersOf(7)).map(({ provider_config: { provider_type: type } }) => type);
  t.same(types.sort(), ['postmark', 'ses']);
  t.same(await commands.providersOf(8), [], "nobody else's");
  await commands.replaceProviders(actor, [ses]);
  t.same(await commands.providersOf(7), [ses]);
  const log = JSON.stringify((await here.events()).map(({ data }) => data));
  t.notMatch(log, /secret-of-ses|token-of-postmark|AKID/);
});

t.test('only the service account, and only targets that are allowed', async (t) => {
  const { here, node } = await ground(t);
  const commands = commandsOf(node);
  const smtp = { provider_type: 'smtp', host: '127.0.0.1', username: 'u', password: 'p' };
  t.equal(await refusal(() => commands.setProvider({ ...actor, account: 5 }, ses)), 'access-denied');
  t.equal(await refusal(() => commands.replaceProviders({ ...actor, account: 5 }, [])), 'access-denied');
  t.equal(await refusal(() => commands.setProvider(actor, provider(smtp))), 'value-invalid');
  t.equal(await refusal(() => commands.replaceProviders(actor, [ses, provider(smtp)])), 'value-invalid');
  t.equal((await commands.replaceProviders(actor, [])).position, null, 'there was nothing to change');
  t.same(await here.events(), []);
});

t.test('they are erased with their workspace', async (t) => {
  const { here, node } = await ground(t);
  await commandsOf(node).setProvider(actor, ses);
  await node.log.erase(
    erasedStreams(event('WorkspaceErased', { workspace: 7, kind: 'client', owner: null, createdAt: 0 })),
  );
  t.same(await commandsOf(await here.node()).providersOf(7), []);
  t.same(await here.ask(`SELECT 1 FROM log.events WHERE data::text LIKE '%sealed%'`), []);
});
