import type { RingLimits } from './ring.ts';

/** Limits of the sockets of one dialect. Times in milliseconds. */
export interface GatewayLimits {
  /** Of the ring of recent events. Default 20 000 events, 32 MiB. */
  readonly ring: RingLimits;
  /** Sessions that may be open; whoever comes then is refused. Default 20 000. */
  readonly maxSessions: number;
  /** Bytes that one socket may have waiting; one that would have more is closed as `slow`. Default 1 MiB. */
  readonly maxBufferedBytes: number;
  /**
   * Bytes that all sockets may have waiting, what they share counted for each: beyond it the largest are closed as `slow`.
   * Default 256 MiB.
   */
  readonly maxTotalBufferedBytes: number;
  /** Accounts without a session whose memberships are remembered, and for how long. Default 10 000, one minute. */
  readonly maxIdleAccounts: number;
  readonly idleAccountMs: number;
  /** Time that a session may wait for the read model, or the tail, before it is closed as in a drain. Default 10 000. */
  readonly maxLagMs: number;
  /** Items of one page of history. Default 200. */
  readonly pageItems: number;
  /** Bytes after which a page of what was missed has to leave before the next one. Default 256 KiB. */
  readonly pageBytes: number;
  /** Time in which it has to, else the session is closed as `slow`. Default 10 000. */
  readonly pageTimeoutMs: number;
  /** Time that a peer has to answer a close. Default 5000. */
  readonly closeTimeoutMs: number;
  /** Greatest delay that a drain announces. Default 3000. */
  readonly maxReconnectMs: number;
  /** Reads of memberships and history under way at one time. Default 8. */
  readonly maxReads: number;
  /** Time that a dialect may take to prepare events; then they are spelled without. Default 1000. */
  readonly maxPrepareMs: number;
  /** Silence of the tail after which nothing is sent that did not come from it (design promise 9). Default 1000. */
  readonly maxSilenceMs: number;
}

/** What holds unless told otherwise. */
export const defaultLimits: GatewayLimits = {
  ring: { maxEvents: 20_000, maxBytes: 32 * 1024 * 1024 },
  maxSessions: 20_000,
  maxBufferedBytes: 1024 * 1024,
  maxTotalBufferedBytes: 256 * 1024 * 1024,
  maxIdleAccounts: 10_000,
  idleAccountMs: 60_000,
  maxLagMs: 10_000,
  pageItems: 200,
  pageBytes: 256 * 1024,
  pageTimeoutMs: 10_000,
  closeTimeoutMs: 5_000,
  maxReconnectMs: 3_000,
  maxReads: 8,
  maxPrepareMs: 1_000,
  maxSilenceMs: 1_000,
};
