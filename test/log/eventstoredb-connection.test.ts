import t from 'tap';
import { Connection } from '../../src/log/eventstoredb-connection.ts';
import { startProxy } from '../conformance/log/proxy.ts';
import { startStandIn } from '../support/eventstoredb/index.ts';

for (const settings of ['tls=false', 'tls=false&keepAliveTimeout=20000', 'keepAliveTimeout=-1&tls=false'])
  t.test(`each client has a connection of its own, and the one after it another (${settings})`, async (t) => {
    const server = await startStandIn();
    t.teardown(() => server.stop());
    const proxy = await startProxy(t, { host: '127.0.0.1', port: server.port });
    const open = () => {
      const connection = new Connection(`esdb://127.0.0.1:${proxy.address.port}?${settings}`);
      t.teardown(() => connection.close());
      return connection;
    };
    const ask = (connection: Connection) =>
      connection.collect(10_000, (client) =>
        client.readAll({ direction: 'backwards', fromPosition: 'end', maxCount: 1 }),
      );
    const [one, other] = [open(), open()];
    await ask(one);
    await ask(other);
    t.equal(proxy.taken, 2);
    await ask(one);
    t.equal(proxy.taken, 2, 'it is kept');
    one.renew(one.client, new Error('no answer'));
    await ask(one);
    t.equal(proxy.taken, 3, 'what dies with one connection is not asked on it again');
    t.equal(one.renewals, 1);
  });
