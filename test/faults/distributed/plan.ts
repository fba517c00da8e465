/** The faults of a run, and their order. */
import { sleep } from '../../../src/platform/clock.ts';
import type { Role } from '../../../src/wiring/roles.ts';
import type { Random } from '../random.ts';
import type { DistributedGround } from './ground.ts';
import type { Node } from './nodes.ts';
import type { FaultyServer } from './servers.ts';

/** One fault. */
export interface Fault {
  readonly name: string;
  /** Does it. Resolves when recovery can begin. */
  apply(): Promise<Applied>;
}

/** A fault that was done. */
export interface Applied {
  /** Recovery is measured from here, milliseconds since the epoch. */
  readonly since: number;
  /** What it was exactly, in a few words. */
  readonly note: string;
  /** Resolves with what is to be told beside it, when everything runs again. */
  readonly whole?: Promise<string>;
  /** What has to be undone after recovery was measured; then it is measured again. */
  readonly undo?: () => Promise<number>;
}

/** How long things last, in milliseconds. */
export interface Durations {
  readonly awayMs: number;
  readonly delayMs: number;
  readonly cutMs: number;
  readonly halfOpenMs: number;
  /** Each past the term of what it concerns: a consumer's session (6 s), a dispatch's lease (30 s), the relay's (3 s). */
  readonly pauseMs: Readonly<Partial<Record<Role, number>>>;
}

export const longDurations: Durations = {
  awayMs: 30_000,
  delayMs: 15_000,
  cutMs: 15_000,
  halfOpenMs: 15_000,
  pauseMs: { projector: 20_000, delivery: 45_000, relay: 10_000 },
};

/** For CI: a whole run in some five minutes. */
export const shortDurations: Durations = {
  awayMs: 8_000,
  delayMs: 4_000,
  cutMs: 4_000,
  halfOpenMs: 4_000,
  pauseMs: { projector: 10_000, delivery: 33_000, relay: 5_000 },
};

/** Added to whatever passes a slow way, each way. */
const slowMs = [10, 60] as const;
/** Life of a connection on a way that cuts. */
const cutAfterMs = [50, 1_500] as const;

/** What a plan is made for. */
export interface PlanOptions {
  readonly ground: DistributedGround;
  readonly durations: Durations;
  /** Every process is killed, not one of each role. */
  readonly every: boolean;
  readonly random: Random;
  /** The name of the process that relays; null when nobody does. */
  readonly leader: () => Promise<string | null>;
}

/** All faults, each once, in an order drawn from the random source. */
export function planOf(options: PlanOptions): Fault[] {
  const { ground, durations, random } = options;
  const { postgres, kafka, eventStore } = ground;
  const servers: FaultyServer[] = [postgres, kafka, ...(eventStore ? [eventStore] : [])];
  const faults = [
    ...processKills(options),
    ...servers.map((server) => kill(server)),
    ...[kafka, eventStore ?? postgres].map((server) => away(server, durations.awayMs)),
    ...servers.flatMap((server) => badWays(server, durations, random.fork(server.name))),
    ...(['projector', 'delivery', 'relay'] as const).map((role) => pause(options, role)),
  ];
  return shuffled(faults, random.fork('order'));
}

function shuffled<T>(all: readonly T[], random: Random): T[] {
  const left = [...all];
  return all.map(() => left.splice(random.int(0, left.length - 1), 1)[0] as T);
}

/** One of a role's processes; of the relays the one that leads. */
async function chosen({ ground, random, leader }: PlanOptions, role: Role): Promise<Node> {
  const nodes = ground.nodes.of(role) as [Node, ...Node[]];
  const leads = role === 'relay' ? await leader() : null;
  return nodes.find(({ name }) => name === leads) ?? random.fork(`which ${role}`).pick(nodes);
}

function processKills(options: PlanOptions): Fault[] {
  const { ground, every } = options;
  const killed = async (node: Node): Promise<Applied> => {
    const since = Date.now();
    await node.server.kill();
    node.server.start();
    const whole = ground.nodes.ready(node).then(() => `ready again after ${seconds(Date.now() - since)}`);
    whole.catch(() => {});
    return { since, note: node.name, whole };
  };
  const roles: readonly Role[] = ['api', 'gateway', 'relay', 'projector', 'delivery'];
  if (!every)
    return roles.map((role) => ({
      name: `kill -9 ${role}`,
      apply: async () => killed(await chosen(options, role)),
    }));
  return ground.nodes.all.map((node) => ({ name: `kill -9 ${node.name}`, apply: () => killed(node) }));
}

function kill(server: FaultyServer): Fault {
  return {
    name: `kill -9 ${server.name}`,
    async apply() {
      const at = Date.now();
      await server.killFor(0);
      return { since: Date.now(), note: `answered again after ${seconds(Date.now() - at)}` };
    },
  };
}

function away(server: FaultyServer, ms: number): Fault {
  return {
    name: `${server.name} away`,
    async apply() {
      const at = Date.now();
      await server.killFor(ms);
      return { since: Date.now(), note: `for ${seconds(Date.now() - at)}` };
    },
  };
}

function badWays(server: FaultyServer, { delayMs, cutMs, halfOpenMs }: Durations, random: Random): Fault[] {
  const { name, proxy } = server;
  const bad = (how: string, ms: number, begin: () => void): Fault => ({
    name: `${how} ${name}`,
    async apply() {
      begin();
      await sleep(ms);
      proxy.open();
      return { since: Date.now(), note: `for ${seconds(ms)}` };
    },
  });
  return [
    bad('slow way to', delayMs, () => proxy.delay(random, slowMs)),
    bad('connections cut to', cutMs, () => proxy.cut(random, cutAfterMs)),
    bad('half-open way to', halfOpenMs, () => proxy.halfOpen()),
  ];
}

function pause(options: PlanOptions, role: Role): Fault {
  const ms = options.durations.pauseMs[role] ?? 10_000;
  return {
    name: `pause ${role}`,
    async apply() {
      const { name, server } = await chosen(options, role);
      const since = Date.now();
      server.freeze();
      return {
        since,
        note: `${name} for ${seconds(ms)}`,
        async undo() {
          await sleep(Math.max(0, since + ms - Date.now()));
          server.thaw();
          return Date.now();
        },
      };
    },
  };
}

/** Milliseconds as people read them. */
export function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(2)} s`;
}
