/** What the conformance suite of the log asks of an adapter's test. */
import type { Test } from 'tap';
import type { EventCodec } from '../../../schemas/index.ts';
import type { Log } from '../../../src/log/log.ts';
import type { WriterTarget } from '../../support/log-writer.ts';
import type { Address } from './proxy.ts';

/** One store, empty at first. */
export interface LogStore {
  /** Opens a further handle, as another process would have it. Whoever opens it closes it. */
  open(codec?: EventCodec): Promise<Log>;
  /** Where the store listens. */
  readonly address: Address;
  /** As `open`, but by way of another address that leads to the same store, with time-outs of a second at most. */
  openThrough(address: Address): Promise<Log>;
  /** What a writer process needs to open the same store. */
  readonly target: WriterTarget;
  /** Cuts every connection that handles and writer processes have to the store. The store itself goes on. */
  breakConnections(): Promise<void>;
}

/** An adapter under test. */
export interface LogAdapter {
  readonly name: string;
  /** Makes a store of its own for one test; it is gone when `t` ends. */
  fresh(t: Test): Promise<LogStore>;
}
