/** The main job on the set-ups that the other suites do not run on: `npm run test:e2e` runs all of them there. */
import t from 'tap';
import { startHarness } from '../dialects/messagejs/harness.ts';
import { stackVariables } from '../support/stack.ts';
import { stackOfRun, stacks } from '../support/stacks.ts';

for (const stack of stacks) {
  if (stack === stackOfRun()) continue;
  t.test(`the main job on ${stack}`, async (t) => {
    // Says why where the machine cannot.
    if ((await stackVariables(t, stack)) === null) return;
    const parley = await startHarness(t, {}, stack);
    const ground = await parley.ground();
    const body = {
      to: '+15550001111',
      connectorId: ground.connectorId,
      templateId: ground.templateId,
      variables: { name: 'Ada' },
    };
    const send = (key: string) =>
      parley.call('POST', '/messages', { as: ground.key, headers: { 'idempotency-key': key }, body });
    const sent = await send('one');
    t.equal(sent.status, 202);
    t.equal((await send('one')).str('messageId'), sent.str('messageId'), 'once, however often it is asked for');
    const others = await Promise.all(Array.from({ length: 30 }, (_, i) => send(`more ${i}`)));
    for (const other of others) t.equal(other.status, 202);

    const { token } = ground.user;
    const history = await parley.get(`/messages?projectId=${ground.projectId}&limit=100`, token);
    t.equal(history.at('pagination.total'), 31, 'a read sees the writes before it');
    for (const message of [sent, ...others]) await parley.status(message.str('messageId'), 'delivered', token);
    const analytics = await parley.get(`/analytics/messages?projectId=${ground.projectId}`, token);
    t.match(analytics.body, { totals: { sent: 31, delivered: 31, failed: 0 } });

    t.equal((await parley.del(`/projects/${ground.projectId}/keys/${ground.keyId}`, token)).status, 204);
    t.equal((await send('late')).status, 401, 'a revoked key is dead at once');
  });
}
