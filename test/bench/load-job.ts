/** What the load generator can be told, and what it answers. Shared by its process (`load.ts`) and who runs it. */

/** Stands in bodies and headers where each request gets a fresh idempotency key; as long as the key that replaces it. */
export const keyMark = '@@@@@@@@-@@@@-@@@@-@@@@-@@@@@@@@@@@@';

/** A run: every connection has one request in flight, and sends the next one when it is answered. */
export interface LoadJob {
  readonly port: number;
  /** Method and path, such as `POST /api/v1/messages`. */
  readonly target: string;
  /** Without `Host` and `Content-Length`, which are added. May hold `keyMark`. */
  readonly headers: Readonly<Record<string, string>>;
  /** Bodies, dealt out to the connections in turn. May hold `keyMark`, many times. */
  readonly bodies: readonly string[];
  readonly connections: number;
  readonly end:
    | { readonly warmupMs: number; readonly durationMs: number }
    /** All are measured. */
    | { readonly requests: number };
  /** Keys come again after so many; without it none does. */
  readonly repeatKeysAfter?: number;
  /** Items of a batch, each of which has to be answered with 202; a single request has none. */
  readonly itemsPerRequest?: number;
}

/** Of the measured window. */
export interface LoadResult {
  readonly requests: number;
  readonly durationMs: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Processor time of the generator over that time: 1 is a whole core. */
  readonly ownCpuShare: number;
  /** Answered requests, warm-up and the last ones under way included: what the server has done. */
  readonly answered: number;
}

/** Said by the generator's process. */
export type LoadMessage =
  | { readonly kind: 'window-begins' }
  | { readonly kind: 'window-ends' }
  | { readonly kind: 'result'; readonly result: LoadResult }
  | { readonly kind: 'failed'; readonly message: string };
