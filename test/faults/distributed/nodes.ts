/** Parley's processes, one per role, and the client that asks the API's in turn. */
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { sleep } from '../../../src/platform/clock.ts';
import type { Role } from '../../../src/wiring/roles.ts';
import { type Call, Client, type Reply } from '../client.ts';
import { Server } from '../processes.ts';

/** One process. */
export interface Node {
  /** `projector-2`. */
  readonly name: string;
  readonly role: Role;
  readonly server: Server;
  readonly logPath: string;
}

/** Processes of each role. */
export const counts: Readonly<Record<Role, number>> = { api: 2, gateway: 2, relay: 2, projector: 2, delivery: 2 };

const readyWithinMs = 60_000;
const stopWithinMs = 30_000;

/** All processes of a set-up. */
export class Nodes {
  readonly all: readonly Node[];
  /** What went wrong and is no matter of the data. */
  readonly problems: string[] = [];

  /** @param port answers a free one */
  static async make(dir: string, port: () => Promise<number>, env: Readonly<Record<string, string>>): Promise<Nodes> {
    const all: Node[] = [];
    for (const [role, count] of Object.entries(counts) as [Role, number][])
      for (let n = 1; n <= count; n++) {
        const name = `${role}-${n}`;
        const dataDir = path.join(dir, name);
        mkdirSync(dataDir);
        const logPath = path.join(dir, `${name}.log`);
        const options = { port: await port(), dataDir, logPath, env, args: ['--roles', role] };
        all.push({ name, role, logPath, server: new Server(options) });
      }
    return new Nodes(all);
  }

  private constructor(all: readonly Node[]) {
    this.all = all;
    for (const { name, server } of all) {
      server.onOwnEnd = ({ code, signal }) => {
        this.problems.push(`${name} ended by itself (${signal ?? code})`);
        // The run goes on: what else it finds is of use.
        void sleep(500).then(() => server.isRunning || server.start());
      };
    }
  }

  of(role: Role): Node[] {
    return this.all.filter((node) => node.role === role);
  }

  portsOf(role: Role): number[] {
    return this.of(role).map(({ server }) => Number(new URL(server.base).port));
  }

  async start(): Promise<void> {
    for (const { server } of this.all) server.start();
    await Promise.all(this.all.map((node) => this.ready(node)));
  }

  /** Resolves when it answers that it is ready. */
  async ready({ name, server }: Node): Promise<void> {
    if (await server.ready(AbortSignal.timeout(readyWithinMs))) return;
    throw new Error(
      server.isRunning ? `${name} was not ready within ${readyWithinMs} ms` : `${name} ended before it was ready`,
    );
  }

  /** Asks all of them to stop; one that does not end with 0 is a problem. */
  async stop(): Promise<void> {
    const stops = this.all.map(async ({ name, server }) => {
      try {
        const { code, signal } = await server.stop(stopWithinMs);
        if (code !== 0) this.problems.push(`SIGTERM ended ${name} with ${code ?? signal}, not with 0`);
      } catch (error) {
        this.problems.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
      }
    });
    await Promise.all(stops);
  }

  killNow(): void {
    for (const { server } of this.all) server.killNow();
  }
}

/** What all processes share beside the addresses of their servers. */
export function commonEnvironment(): Record<string, string> {
  const secret = () => randomBytes(32).toString('hex');
  return {
    JWT_SECRET: secret(),
    ENCRYPTION_KEY: secret(),
    ID_KEY: secret(),
  };
}

/** Asks each of the API's processes in turn. */
export class SpreadClient extends Client {
  readonly #others: readonly Client[];
  #turn = 0;

  constructor(bases: readonly string[]) {
    super(bases[0] ?? '');
    this.#others = bases.slice(1).map((base) => new Client(base));
  }

  override async call(call: Call): Promise<Reply> {
    const turn = this.#turn++ % (this.#others.length + 1);
    const other = this.#others[turn - 1];
    return other ? other.call(call) : super.call(call);
  }

  override async close(): Promise<void> {
    await Promise.all([super.close(), ...this.#others.map((other) => other.close())]);
  }
}
