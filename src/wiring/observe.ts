import type { DeliveryWork } from '../delivery/index.ts';
import { groupLag, projectorGroup } from '../readside/index.ts';
import type { Core, Ground } from './core.ts';
import type { OpenLog } from './log.ts';

/** Lets the metrics see what the parts of this process hold. */
export function observe(ground: Ground, open: OpenLog, core: Core, delivery: DeliveryWork | null): void {
  const { metrics, projector } = ground;
  metrics.observeHead(() => open.log.head());
  metrics.observeGaps(() => open.gaps());
  if (projector) {
    metrics.observeCheckpoint(projectorGroup, async () => {
      const { events, seconds } = await projector.lag();
      return { position: projector.reached(), lagEvents: events, lagSeconds: seconds };
    });
  }
  const groups = [...(projector ? [] : [projectorGroup]), ...(delivery ? ['receipts', 'erasing'] : [])];
  for (const group of groups) {
    metrics.observeCheckpoint(group, async () => {
      const { position, events, seconds } = await groupLag(core.pool, open.log, group);
      return { position, lagEvents: events, lagSeconds: seconds };
    });
  }
  metrics.observeQueue('append', () => open.waitingCommits());
  if (delivery) {
    metrics.observeQueue('dispatch_waiting', () => delivery.depths().waiting);
    metrics.observeQueue('dispatch_in_flight', () => delivery.depths().inFlight);
    metrics.observeQueue('dispatch_recording', () => delivery.depths().recording);
  }
  metrics.observeQueue('state_cache', () => core.door.states.size);
}
