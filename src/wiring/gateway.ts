import { readCheckpoint } from '../feed/checkpoint.ts';
import { createGateway, type Gateway } from '../gateway/index.ts';
import { projectorGroup } from '../readside/index.ts';
import type { Core, Ground } from './core.ts';

/** Makes the gateway of this process, which follows the log once it is started: after the dialects added their sockets. */
export function openGateway(ground: Ground, core: Core): Gateway {
  const { log, storage, projected, logger, metrics } = ground;
  const gateway = createGateway({
    log,
    pool: core.pool,
    url: storage.url,
    readModel: projected,
    // Of what the rows do not show yet, the ring has all.
    startAt: () => readCheckpoint(core.db, projectorGroup),
    sole: storage.alone,
    onTrouble: (err, text) => logger.warn({ part: 'gateway', err }, text),
  });
  metrics.observeGateway(() => gateway.gauges());
  return gateway;
}
