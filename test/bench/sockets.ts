/** `npm run bench -- fanout|memory|reconnect`: the real server's sockets, through ChatAPI, against bare `ws`. */
import { tmpdir } from 'node:os';
import { socketBench } from './gateway/index.ts';
import type { Report } from './report.ts';
import { workDirectory } from './run.ts';

/** How a run is told. */
export interface SocketsTold {
  readonly quick: boolean;
  readonly only: readonly string[];
  readonly dir?: string;
}

const target = new URL('./gateway/parley-target.ts', import.meta.url).href;
/** Sockets of the one room. */
const roomSizes = ['1', '100', '1000', '5000'] as const;

/** What can be measured of a fan-out: rooms by size, and the time from a post to its frames. */
export const fanoutParts = [...roomSizes, 'latency'] as const;

/** Frames per second to one room, and the time from a post to a frame. */
export function fanout({ only, ...told }: SocketsTold): Promise<Report> {
  const sockets = roomSizes.filter((size) => only.includes(size)).map(Number);
  return run(
    'fanout',
    told,
    [...(sockets.length > 0 ? (['fanout'] as const) : []), ...(only.includes('latency') ? (['latency'] as const) : [])],
    sockets,
  );
}

/** Memory of an idle socket. */
export function memory(told: SocketsTold): Promise<Report> {
  return run('memory', told, ['memory'], []);
}

/** Sockets that are sent away and come back. */
export function reconnect(told: SocketsTold): Promise<Report> {
  return run('reconnect', told, ['reconnect'], []);
}

async function run(
  name: string,
  { quick, dir }: Omit<SocketsTold, 'only'>,
  only: Parameters<typeof socketBench>[0]['only'],
  sockets: readonly number[],
): Promise<Report> {
  const report = await socketBench({ target, quick, only, sockets, dir: workDirectory(dir ?? tmpdir()) });
  return { ...report, name };
}
