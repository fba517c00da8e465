/**
 * The conformance suite of the log port (`src/log/log.ts`; promises 1, 2 and 12 of the design): the same for every adapter.
 * It asks nothing of an adapter but the port, and nothing of positions but their order. What an adapter promises beyond
 * the port, its own test says.
 */
import type { Test } from 'tap';
import type { LogAdapter } from './adapter.ts';
import { claimTests } from './claims.ts';
import { contentTests } from './content.ts';
import { erasureTests } from './erasure.ts';
import { orderTests } from './order.ts';
import { outageTests } from './outage.ts';
import { outcomeTests } from './outcomes.ts';
import { raceTests } from './races.ts';
import { tailTests } from './tails.ts';

/** Runs the whole suite on an adapter, as one subtest. */
export async function logConformance(t: Test, adapter: LogAdapter): Promise<void> {
  await t.test(`the log port on ${adapter.name}`, async (t) => {
    await outcomeTests(t, adapter);
    await claimTests(t, adapter);
    await contentTests(t, adapter);
    await orderTests(t, adapter);
    await tailTests(t, adapter);
    await outageTests(t, adapter);
    await erasureTests(t, adapter);
    await raceTests(t, adapter);
  });
}
