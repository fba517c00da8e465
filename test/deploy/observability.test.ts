/** What Prometheus asks and Grafana shows is what processes say. */
import t from 'tap';
import { createMetrics } from '../../src/platform/metrics.ts';
import { roles } from '../../src/wiring/roles.ts';
import { textOf, yamlOf } from './compose-file.ts';

/** Metrics that are made where a gateway is, not by `createMetrics` itself. */
const ofGateways = ['parley_sockets'];
/** Made where delivery is and the log is EventStoreDB. */
const ofScavenges = ['parley_scavenge_started_seconds'];
/** Made where a relay is. */
const ofRelays = ['parley_relay_leading'];
/** Made by Prometheus, and by the collector out of spans (its `namespace` and `unit`). */
const ofOthers = ['up', 'parley_span_duration_seconds_bucket', 'parley_span_calls_total'];

interface Panel {
  readonly title: string;
  readonly type: string;
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly { readonly expr: string }[];
}
const dashboard = JSON.parse(textOf('deploy/grafana/dashboards/parley.json')) as { uid: string; panels: Panel[] };
const alerts = yamlOf('deploy/prometheus/alerts.yml') as { groups: { rules: { alert: string; expr: string }[] }[] };

/** The names of metrics in a query: what is neither a function, a keyword, a label nor a value. */
function metricsOf(query: string): string[] {
  const bare = query
    .replace(/"[^"]*"/g, '')
    .replace(/\{[^}]*\}/g, '')
    .replace(/\[[^\]]*\]/g, '')
    .replace(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, '')
    .replace(/\b\d[\w.]*/g, '');
  return [...bare.matchAll(/[A-Za-z_:][\w:]*(?!\s*\(|\w)/g)]
    .map(([name]) => name)
    .filter((name) => !['and', 'or', 'unless', 'bool', 'offset'].includes(name));
}

/** Every name that a process's `/metrics` can give. */
async function metricsThere(): Promise<Set<string>> {
  const metrics = createMetrics();
  const { text } = await metrics.read();
  metrics.close();
  const names = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name = '', type]) =>
    type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  );
  return new Set([...names, ...ofGateways, ...ofScavenges, ...ofRelays, ...ofOthers]);
}

t.test('names are found in queries', async (t) => {
  const query = 'topk(3, histogram_quantile(0.99, sum by (le, x) (rate(a_bucket{b="c d"}[5m])))) / max(d:e) > 900e6';
  t.same(metricsOf(query), ['a_bucket', 'd:e']);
  t.same(metricsOf('absent(up{job="api"} == 1) or absent(q)'), ['up', 'q']);
});

t.test('every query asks for what there is', async (t) => {
  const there = await metricsThere();
  const panels = dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })));
  const rules = alerts.groups.flatMap(({ rules }) => rules.map(({ alert, expr }) => ({ title: alert, expr })));
  t.ok(panels.length > 15 && rules.length > 10);
  for (const { title, expr } of [...panels, ...rules]) {
    const names = metricsOf(expr);
    t.ok(names.length > 0, title);
    t.same(
      names.filter((name) => !there.has(name)),
      [],
      title,
    );
    t.equal(expr.split('(').length, expr.split(')').length, `${title}: parentheses`);
  }
});

t.test('one dashboard, with every part that an operator looks for', async (t) => {
  const rows = dashboard.panels.filter(({ type }) => type === 'row').map(({ title }) => title);
  t.same(rows, ['Ingest', 'Lag', 'Latency by hop', 'Dispatch outcomes', 'Sockets', 'Processes']);
  const source = yamlOf('deploy/grafana/provisioning/datasources/prometheus.yml') as {
    datasources: { uid: string; url: string }[];
  };
  t.same(
    source.datasources.map(({ url }) => url),
    ['http://prometheus:9090'],
  );
  const uids = new Set(dashboard.panels.flatMap(({ datasource }) => (datasource ? [datasource.uid] : [])));
  t.same(
    [...uids],
    source.datasources.map(({ uid }) => uid),
  );
  const provider = yamlOf('deploy/grafana/provisioning/dashboards/parley.yml') as {
    providers: { options: { path: string } }[];
  };
  t.match(textOf('docker-compose.yml'), `./deploy/grafana/dashboards:${provider.providers[0]?.options.path}:ro`);
});

t.test('Prometheus asks every copy of every role', async (t) => {
  const { scrape_configs: scrapes } = yamlOf('deploy/prometheus/prometheus.yml') as {
    scrape_configs: { job_name: string; dns_sd_configs?: { names: string[]; type: string; port: number }[] }[];
  };
  for (const role of roles) {
    const found = scrapes.find(({ job_name }) => job_name === role);
    t.match(found?.dns_sd_configs, [{ names: [role], type: 'A', port: 8000 }], role);
  }
});

t.test('every alarm is explained', async (t) => {
  const names = alerts.groups.flatMap(({ rules }) => rules.map(({ alert }) => alert));
  const page = textOf('docs/operations.md');
  t.same(
    names.filter((name) => !page.includes(`\`${name}\``)),
    [],
  );
  t.equal(new Set(names).size, names.length);
});
