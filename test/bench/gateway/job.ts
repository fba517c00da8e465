/** What the generator of sockets can be told, and what it answers. */
import type { WireSource } from './target.ts';

/** A run. */
export type Job =
  /** Opens sockets, and keeps them until the next job. */
  | (Common & { readonly kind: 'open' })
  /** Opens sockets; posts as fast as frames arrive: at most `window` posts are not yet with everybody. */
  | (Common & {
      readonly kind: 'fanout';
      readonly window: number;
      readonly warmupMs: number;
      readonly durationMs: number;
      readonly textCharacters: number;
    })
  /** Opens sockets; posts at a rate, over all rooms in turn, and takes the time from each POST to each of its frames. */
  | (Common & {
      readonly kind: 'pace';
      readonly postsPerSecond: number;
      readonly warmupMs: number;
      readonly durationMs: number;
      readonly textCharacters: number;
    })
  /** As `pace`, while the server drains; sockets come back when they were told to. */
  | (Common & {
      readonly kind: 'reconnect';
      readonly postsPerSecond: number;
      readonly durationMs: number;
      readonly textCharacters: number;
    });

interface Common {
  readonly port: number;
  readonly wire: WireSource;
  readonly sockets: number;
  readonly perRoom: number;
}

/** Figures of a run; those that it does not have are 0. */
export interface JobResult {
  readonly sockets: number;
  readonly durationMs: number;
  readonly posts: number;
  readonly frames: number;
  readonly bytes: number;
  readonly framesPerSecond: number;
  /** From POST to frame, or from greeting to the last missed frame. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Processor time of the generator over that time: 1 is a whole core. */
  readonly ownCpuShare: number;
  /** Of `reconnect`: sockets that came back, frames that were missed meanwhile. */
  readonly reconnects: number;
  readonly missed: number;
  /** Frames that did not come, came twice or out of order. */
  readonly faults: number;
}

/** Said by the generator's process. */
export type JobMessage =
  | { readonly kind: 'window-begins' }
  | { readonly kind: 'window-ends' }
  | { readonly kind: 'result'; readonly result: JobResult }
  | { readonly kind: 'failed'; readonly message: string };
