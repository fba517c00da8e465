/** What the conformance suite of the feed asks of an adapter's test. */
import type { Test } from 'tap';
import type { EventCodec } from '../../../schemas/index.ts';
import type { Feed } from '../../../src/feed/feed.ts';
import type { OpenLog } from '../../feed/ground.ts';
import type { Ground } from '../../readside/platform.ts';

/** A log, and ways to its feed. */
export interface FeedGround extends Ground {
  /** Further handles of the log; they are closed when the test ends. */
  readonly openLog: OpenLog;
  /** A further handle, as another process would have it. */
  feed(): Feed;
}

/** An adapter under test. */
export interface FeedAdapter {
  readonly name: string;
  /**
   * Makes a log with its feed for one test, empty at first, with the table of tallies; it is gone when `t` ends. Whoever
   * copies events on their way to consumers is of the code whose codec is given.
   */
  fresh(t: Test, options?: { readonly copier?: EventCodec }): Promise<FeedGround>;
}
