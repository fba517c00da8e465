/** From an accepted command to its projected row: relay and projector in processes of their own, commands at a steady rate. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { TopicOptions } from '../../../src/feed/kafka.ts';
import { stopChild } from '../children.ts';
import { Histogram } from '../stats.ts';
import type { Committed, NodeOptions } from './node.ts';
import { acceptance, type Stage } from './stage.ts';

export const commandsPerSecond = 1_000;

/** What was measured. */
export interface Latency {
  /** Events in the log, and in the topic, when it began. */
  readonly events: number;
  readonly commands: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Measures with a projector that has caught up before it begins. The topic holds what the log does, if it did before. */
export async function measureLatency(stage: Stage, topic: TopicOptions): Promise<Latency> {
  const { warmupMs, durationMs } = stage.effort.latency;
  const nodes: ChildProcess[] = [];
  const rows = new Map<string, number>();
  const told = new EventTarget();
  try {
    const of = (role: NodeOptions['role']) => ({ role, place: stage.place, topic });
    nodes.push(await startNode(of('relay')), await startNode(of('projector')));
    nodes[1]?.on('message', (message: Committed | string) => {
      if (typeof message === 'string') return;
      for (const { positions, at } of message) for (const position of positions) rows.set(position, at);
      told.dispatchEvent(new Event('rows'));
    });
    const events = stage.appended;
    // Until the first row comes everything is being set up.
    const [first] = await stage.log.append([acceptance()]);
    if (first?.outcome !== 'written') throw new Error(first?.outcome);
    while (!rows.has(`${first.position}`)) await once(told, 'rows');
    await pace(stage, warmupMs);
    const accepted = await pace(stage, durationMs);
    while (accepted.some(({ position }) => !rows.has(position))) await once(told, 'rows');
    const histogram = new Histogram();
    let maxMs = 0;
    for (const { position, at } of accepted) {
      const ms = Math.max(0, (rows.get(position) ?? 0) - at);
      histogram.record(ms * 1_000);
      if (ms > maxMs) maxMs = ms;
    }
    const [p50Ms, p99Ms] = [histogram.quantile(0.5) / 1_000, histogram.quantile(0.99) / 1_000];
    return { events, commands: accepted.length, p50Ms, p99Ms, maxMs };
  } finally {
    await Promise.all(nodes.map(stopChild));
  }
}

interface Accepted {
  readonly position: string;
  /** When the append was answered, milliseconds since the epoch. */
  readonly at: number;
}

/** Appends commands at the steady rate for so long; resolves when the last is answered. */
async function pace(stage: Stage, durationMs: number): Promise<Accepted[]> {
  const { log } = stage;
  const accepted: Accepted[] = [];
  const answers: Promise<void>[] = [];
  const begun = performance.now();
  const total = Math.round((durationMs * commandsPerSecond) / 1_000);
  const one = async (): Promise<void> => {
    const [outcome] = await log.append([acceptance()]);
    if (outcome?.outcome !== 'written') throw new Error(outcome?.outcome);
    accepted.push({ position: `${outcome.position}`, at: performance.timeOrigin + performance.now() });
  };
  await new Promise<void>((resolve) => {
    let sent = 0;
    const timer = setInterval(() => {
      const due = Math.min(total, Math.floor(((performance.now() - begun) * commandsPerSecond) / 1_000));
      for (; sent < due; sent++) answers.push(one());
      if (sent < total) return;
      clearInterval(timer);
      resolve();
    }, 2);
  });
  await Promise.all(answers);
  stage.appended += total;
  return accepted;
}

async function startNode(options: NodeOptions): Promise<ChildProcess> {
  const child = fork(fileURLToPath(new URL('./node.ts', import.meta.url)), { execArgv: [] });
  child.send(options);
  const [said] = await Promise.race([once(child, 'message'), once(child, 'exit')]);
  if (said !== 'ready') throw new Error(`the ${options.role} ended with ${said}`);
  return child;
}
