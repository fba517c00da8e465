/** A process that delivers until it is killed: `node child.ts <database url> <sandbox url>`. Says `ready` when it has begun. */
import { codec } from '../../schemas/index.ts';
import { CommandDoor, DispatchRecords, IdAllocator } from '../../src/commands/index.ts';
import { providers } from '../../src/delivery/connectors/index.ts';
import { endLeases, startDeliveryWork } from '../../src/delivery/index.ts';
import { openTailFeed } from '../../src/feed/tail.ts';
import { openPostgresLog } from '../../src/log/postgres.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { openPool } from '../../src/platform/postgres.ts';
import { projectorGroup, readPool, startProjector } from '../../src/readside/index.ts';
import { fastSchedule, noPace, secret, silent, workspaceCommands } from './world.ts';

const [url = '', sandboxUrl = '', sole = ''] = process.argv.slice(2);
const log = await openPostgresLog({ url, codec });
const feed = openTailFeed(log, silent);
const projector = await startProjector({ url, feed, history: log, logger: silent });
const pool = openPool({ url, name: 'child', maxConnections: 8 });
const door = new CommandDoor({ log, clock: systemClock });
await door.start();
const ids = new IdAllocator(pool, async () => 0);
if (sole === 'sole') await endLeases(pool);
const delivery = startDeliveryWork({
  feed,
  read: readPool(url),
  work: pool,
  projected: projector,
  projectorGroup,
  head: () => log.head(),
  erase: (streams) => log.erase(streams),
  workspaces: workspaceCommands(door, ids),
  commands: new DispatchRecords({ door, idKey: secret(4) }),
  door,
  url,
  providers: providers({
    whatsapp: { baseUrl: `${sandboxUrl}/whatsapp`, connections: 16 },
    telegram: { baseUrl: `${sandboxUrl}/telegram/bot`, connections: 16 },
    twilio: { baseUrl: `${sandboxUrl}/twilio`, connections: 16 },
  }),
  clock: systemClock,
  logger: silent,
  sole: sole === 'sole',
  schedule: fastSchedule,
  pace: noPace,
  leaseMs: 3_000,
});
await delivery.ready;
console.log('ready');
