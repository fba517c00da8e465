/** The feed straight off the log: the port's conformance suite. */
import t from 'tap';
import { openTailFeed } from '../../../src/feed/tail.ts';
import { postgresHandles } from '../../feed/ground.ts';
import { makeTallyTable } from '../../feed/tally.ts';
import { ground } from '../../readside/platform.ts';
import { feedConformance } from './feed-suite.ts';

await feedConformance(t, {
  name: 'the tail',
  async fresh(t) {
    const on = await ground(t);
    await makeTallyTable(on.pool);
    return { ...on, openLog: postgresHandles(t, on.url), feed: () => openTailFeed(on.log, on.words, on.pool) };
  },
});
