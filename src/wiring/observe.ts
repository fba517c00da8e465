import { groupLag, projectorGroup } from '../readside/index.ts';
import type { Core, Ground } from './core.ts';
import type { RunningDelivery } from './delivery.ts';
import type { OpenLog } from './log.ts';

/** Lets the metrics see what relay, projector and delivery of this thread hold. */
export function observeWork(ground: Ground, open: OpenLog, core: Core, delivery: RunningDelivery | null): void {
  const { metrics, projector } = ground;
  if (projector) {
    metrics.observeCheckpoint(projectorGroup, async () => {
      const { events, seconds } = await projector.lag();
      return { position: projector.reached(), lagEvents: events, lagSeconds: seconds };
    });
  }
  if (delivery) {
    for (const group of ['receipts', 'erasing']) observeGroup(group, ground, open, core);
    metrics.observeQueue('dispatch_waiting', () => delivery.depths().waiting);
    metrics.observeQueue('dispatch_in_flight', () => delivery.depths().inFlight);
    metrics.observeQueue('dispatch_recording', () => delivery.depths().recording);
    metrics.observeQueue('webhook_waiting', () => delivery.webhooks.depths().waiting);
    metrics.observeQueue('webhook_in_flight', () => delivery.webhooks.depths().inFlight);
    metrics.observeQueue('webhook_recording', () => delivery.webhooks.depths().recording);
    metrics.observeQueue('notification_in_flight', () => delivery.notifications.depths().inFlight);
    metrics.observeQueue('notification_settled', () => delivery.notifications.depths().settled);
  }
  metrics.observeGaps(() => open.gaps());
  metrics.observeQueue('append', () => open.waitingCommits());
  metrics.observeQueue('state_cache', () => core.door.states.size);
}

/** Lets the metrics see how far projectors of other processes are. */
export function observeGroup(group: string, ground: Pick<Ground, 'metrics'>, open: OpenLog, core: Core): void {
  ground.metrics.observeCheckpoint(group, async () => {
    const { position, events, seconds } = await groupLag(core.pool, open.log, group);
    return { position, lagEvents: events, lagSeconds: seconds };
  });
}
