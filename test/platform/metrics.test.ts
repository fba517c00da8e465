import t from 'tap';
import { createMetrics } from '../../src/platform/metrics.ts';

/** Values by series. */
function parsed(text: string): Map<string, number> {
  const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    samples.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

t.test('what is counted is what is read', async (t) => {
  const metrics = createMetrics({ processMetrics: false });
  const send = metrics.acceptedCommands('messagejs', 'send');
  send();
  send(41);
  metrics.acceptedCommands('messagejs', 'send')();
  metrics.dispatchOutcomes('telegram', 'sent')(2);
  const route = metrics.route({ dialect: 'messagejs', route: '/a/:id', method: 'GET' });
  route(200, 0.5);
  route(200, 3);
  route(404, 100_000);
  metrics.appended({ commits: 7, durationMs: 4, failed: false });
  metrics.appended({ commits: 7, durationMs: 4, failed: true });
  const { text, contentType } = await metrics.read();
  t.match(contentType, /^text\/plain/);
  const values = parsed(text);
  const labels = 'dialect="messagejs",route="/a/:id",method="GET"';
  for (const [series, value] of [
    ['parley_commands_accepted_total{dialect="messagejs",command="send"}', 43],
    ['parley_dispatch_outcomes_total{type="telegram",outcome="sent"}', 2],
    [`parley_http_requests_total{${labels},status="200"}`, 2],
    [`parley_http_requests_total{${labels},status="404"}`, 1],
    [`parley_http_request_duration_seconds_bucket{${labels},le="0.001"}`, 1],
    [`parley_http_request_duration_seconds_bucket{${labels},le="0.005"}`, 2],
    [`parley_http_request_duration_seconds_bucket{${labels},le="10"}`, 2],
    [`parley_http_request_duration_seconds_bucket{${labels},le="+Inf"}`, 3],
    [`parley_http_request_duration_seconds_count{${labels}}`, 3],
    [`parley_http_request_duration_seconds_sum{${labels}}`, 100.0035],
    ['parley_append_batch_commits_bucket{le="8"}', 1],
    ['parley_append_batch_commits_sum', 7],
    ['parley_append_duration_seconds_count', 1],
    ['parley_append_failures_total', 1],
    ['log_gap_total', 0],
  ] as const) {
    t.equal(values.get(series), value, series);
  }
});

t.test('of routes that nobody asked for there are no lines', async (t) => {
  const metrics = createMetrics({ processMetrics: false });
  const asked = metrics.route({ dialect: 'messagejs', route: '/asked', method: 'GET' });
  metrics.route({ dialect: 'messagejs', route: '/unasked', method: 'GET' });
  asked(200, 2);
  const { text } = await metrics.read();
  t.match(text, 'route="/asked"');
  t.notMatch(text, '/unasked');
});

t.test('sources are asked at each reading, and one that fails does not take the others with it', async (t) => {
  const metrics = createMetrics({ processMetrics: false });
  let head = 10n;
  let isAway = false;
  metrics.observeHead(() => head);
  metrics.observeGaps(() => 3);
  metrics.observeQueue('append', () => 5);
  let fences = 2;
  metrics.observeCounter('fences_total', 'Fences.', () => fences);
  metrics.observeCheckpoint('projector', async () => {
    if (isAway) throw new Error('away');
    return { position: head - 2n, lagEvents: 2, lagSeconds: 0.5 };
  });
  metrics.observeCheckpoint('delivery', () => ({ position: head, lagEvents: 0, lagSeconds: 0 }));
  const first = parsed((await metrics.read()).text);
  t.equal(first.get('parley_log_head'), 10);
  t.equal(first.get('log_gap_total'), 3);
  t.equal(first.get('parley_queue_depth{queue="append"}'), 5);
  t.equal(first.get('parley_checkpoint_position{group="projector"}'), 8);
  t.equal(first.get('parley_checkpoint_lag_events{group="projector"}'), 2);
  t.equal(first.get('parley_checkpoint_lag_seconds{group="projector"}'), 0.5);
  t.equal(first.get('fences_total'), 2);
  head = 20n;
  fences = 3;
  isAway = true;
  const second = parsed((await metrics.read()).text);
  t.equal(second.get('parley_log_head'), 20);
  t.equal(second.get('log_gap_total'), 3, 'not added up');
  t.equal(second.get('fences_total'), 3);
  t.equal(second.get('parley_checkpoint_position{group="delivery"}'), 20);
  t.equal(second.get('parley_checkpoint_position{group="projector"}'), 8, 'as last known');
});

t.test('labels are escaped, each name has one help and type', async (t) => {
  const metrics = createMetrics({ processMetrics: false });
  metrics.acceptedCommands('a"b\\c\nd', 'x')();
  const { text } = await metrics.read();
  t.ok(text.includes('parley_commands_accepted_total{dialect="a\\"b\\\\c\\nd",command="x"} 1'));
  const types = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
  t.equal(new Set(types).size, types.length);
  t.equal([...text.matchAll(/^# HELP /gm)].length, types.length);
});

t.test('the process itself', async (t) => {
  const metrics = createMetrics();
  t.teardown(() => metrics.close());
  const values = parsed((await metrics.read()).text);
  t.ok((values.get('process_resident_memory_bytes') ?? 0) > 0);
  t.ok(values.has('nodejs_eventloop_lag_p99_seconds'));
});
