/**
 * Two logs of one process, each in a thread of its own on the same database: each tells the other what it appended, so that
 * neither has to read it. What is told and not heard, or heard too late, is read from the database like everything else.
 */
import type { MessagePort } from 'node:worker_threads';
import type { DomainEvent } from '../../schemas/index.ts';
import type { EventMeta, RecordedEvent } from './log.ts';
import type { Waiting } from './waiting.ts';

/** What a flush wrote after `base`: positions without a gap. */
export interface PeerFlush {
  readonly base: bigint;
  readonly events: readonly RecordedEvent[];
  /** Streams erased before the flush, as the database said when it was asked. */
  readonly erasures: number;
  /** `performance.now()` of the thread that is told. */
  readonly askedAt: number;
}

/** As it passes. One text, which costs a copy: objects would be taken apart and put together one by one. */
interface Told {
  readonly base: bigint;
  readonly erasures: number;
  /** When the flush was asked for, by the clock that all threads share, milliseconds. */
  readonly askedAt: number;
  readonly events: string;
}

type Spelled = [
  stream: string,
  revision: number,
  commitId: string,
  index: number,
  at: number,
  type: string,
  meta: EventMeta,
  data: DomainEvent['data'],
];

/** An event as its peer is told it. `revision` is that of the first event of the commit. */
export function spellEvent({ commit, data, meta }: Waiting, revision: number, index: number): string {
  const { stream, commitId, at, events } = commit;
  const type = events[index]?.type ?? '';
  return `[${JSON.stringify(stream)},${revision + index},"${commitId}",${index},${at},"${type}",${meta ?? '{}'},${data[index]}]`;
}

/** One end of the way between two logs. */
export class LogPeer {
  readonly #port: MessagePort;

  /** @param onFlush told of what the other log appended, in its order */
  constructor(port: MessagePort, onFlush: (flush: PeerFlush) => void) {
    this.#port = port;
    port.on('message', ({ base, erasures, askedAt, events }: Told) => {
      const spelled = JSON.parse(events) as Spelled[];
      onFlush({
        base,
        erasures,
        askedAt: performance.now() - (sharedNow() - askedAt),
        events: spelled.map(([stream, revision, commitId, index, at, type, meta, data], i) => {
          const position = base + 1n + BigInt(i);
          return { type, data, position, stream, revision, commitId, index, at, meta } as RecordedEvent;
        }),
      });
    });
    // What it could still say holds nobody up.
    port.unref();
  }

  /** Tells what was appended: events as `spellEvent` has them, and when their flush was asked for (`performance.now()`). */
  tell({ base, erasures, askedAt }: Omit<PeerFlush, 'events'>, events: readonly string[]): void {
    const told: Told = {
      base,
      erasures,
      askedAt: sharedNow() - (performance.now() - askedAt),
      events: `[${events.join(',')}]`,
    };
    this.#port.postMessage(told);
  }

  close(): void {
    this.#port.close();
  }
}

/** Milliseconds by a clock that does not jump and is the same in all threads, as `performance.now()` is not. */
function sharedNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
