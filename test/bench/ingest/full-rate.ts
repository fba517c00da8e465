/** How fast the dispatcher is when nothing paces it: a figure of its own, on a fresh server that takes nothing else meanwhile. */
import { join } from 'node:path';
import { CpuWatch, cpuMs, treeCpuMs } from '../processes.ts';
import { startServer } from '../server.ts';
import { makeSender } from './account.ts';
import { batchJob } from './send.ts';
import { callBack, type Stage, sandboxCounts, serverEnv } from './stage.ts';

const timeoutMs = 120_000;

export interface FullRate {
  /** Those that were still to leave when the last one had been accepted. */
  readonly messages: number;
  readonly perSecond: number;
  /** Processor time per message, its receipts included, microseconds. */
  readonly serverCpuUs: number;
  readonly postgresCpuUs: number;
}

/** The stage's own server is stopped first: it would dispatch to the same sandbox. */
export async function measureFullRate(stage: Stage): Promise<FullRate> {
  const { sandbox, effort, load } = stage;
  await stage.stopServer();
  const server = await startServer({ dataDir: join(stage.dir, 'full-rate'), env: serverEnv(sandbox, 0) });
  try {
    if (stage.callbacks) await callBack(sandbox, server);
    const sender = await makeSender(server.url);
    const cpu = new CpuWatch({ server: () => cpuMs(server.pid), postgres: () => treeCpuMs(server.postgresPid) });
    const { accepted: before } = await sandboxCounts(sandbox);
    await load.run(batchJob(sender, server.port, effort.fullRateMessages));
    const began = performance.now();
    cpu.begins();
    const { accepted: atBegin } = await sandboxCounts(sandbox);
    const all = before + effort.fullRateMessages;
    for (;;) {
      const { accepted } = await sandboxCounts(sandbox);
      if (accepted >= all) break;
      if (performance.now() - began > timeoutMs) {
        throw new Error(`the dispatcher has not sent ${all - accepted} messages in ${timeoutMs / 1_000} s`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const tookMs = performance.now() - began;
    cpu.ends();
    const messages = Math.max(1, all - atBegin);
    return {
      messages,
      perSecond: (messages / tookMs) * 1_000,
      serverCpuUs: (cpu.usedMs('server') * 1_000) / messages,
      postgresCpuUs: (cpu.usedMs('postgres') * 1_000) / messages,
    };
  } finally {
    await server.stop();
  }
}
