import type { Tracer } from '../platform/telemetry.ts';
import type { Commit, Log, Outcome } from './log.ts';

/**
 * A log whose appends are spans: each a child of the span that its commit's metadata names, and named there in its place, so
 * that whatever follows on its events hangs below the append.
 */
export function tracedLog(log: Log, tracer: Tracer): Log {
  return {
    read: (stream, from) => log.read(stream, from),
    holder: (name, at) => log.holder(name, at),
    tail: (from, signal) => log.tail(from, signal),
    page: (from, maxEvents) => log.page(from, maxEvents),
    head: () => log.head(),
    count: (from, to, most) => log.count(from, to, most),
    erase: (streams) => log.erase(streams),
    close: () => log.close(),
    async append(commits) {
      const spans = commits.map(({ meta, events }) =>
        tracer.start('append', {
          parent: meta?.trace,
          attributes: { 'parley.events': events.length, 'parley.event_type': events[0]?.type ?? '' },
        }),
      );
      const traced = commits.map((commit, i): Commit => {
        const trace = spans[i]?.traceparent;
        return trace === undefined ? commit : { ...commit, meta: { ...commit.meta, trace } };
      });
      let outcomes: Outcome[];
      try {
        outcomes = await log.append(traced);
      } catch (error) {
        for (const span of spans) span.end({ error });
        throw error;
      }
      for (const [i, span] of spans.entries())
        span.end({ attributes: { 'parley.outcome': outcomes[i]?.outcome ?? '' } });
      return outcomes;
    },
  };
}
