/** The front sends sockets and event streams to the gateway. nginx itself is asked in CI (`nginx -t`, a whole set-up). */
import t from 'tap';
import { loadConfig } from '../../src/platform/config.ts';
import { textOf } from './compose-file.ts';

const conf = textOf('deploy/front/nginx.conf').replace(/^\s*#.*$/gm, '');

/** A `map` of the configuration, as nginx takes it (ngx_http_map_module): exact values, then expressions in order. */
function mapOf(variable: string): (value: string) => string {
  const block = new RegExp(`map\\s+\\S+\\s+\\$${variable}\\s*\\{([^}]*)\\}`).exec(conf)?.[1];
  if (block === undefined) throw new Error(`there is no map of $${variable}`);
  const entries = [...block.matchAll(/^\s*("[^"]*"|\S+)\s+("[^"]*"|\S+);$/gm)].map(([, key = '', value = '']) => ({
    key: key.replace(/^"|"$/g, ''),
    value: value.replace(/^"|"$/g, ''),
  }));
  return (value) => {
    const found =
      entries.find(({ key }) => key === value && key !== 'default') ??
      entries.find(({ key }) => key.startsWith('~') && expression(key).test(value)) ??
      entries.find(({ key }) => key === 'default');
    return found?.value ?? '';
  };
}

function expression(key: string): RegExp {
  return key.startsWith('~*') ? new RegExp(key.slice(2), 'i') : new RegExp(key.slice(1));
}

t.test('who gets what', async (t) => {
  const role = mapOf('role');
  t.match(conf, /map "\$http_upgrade\|\$http_accept" \$role/);
  for (const [upgrade, accept, expected] of [
    ['websocket', '', 'gateway'],
    ['WebSocket', '*/*', 'gateway'],
    ['', 'text/event-stream', 'gateway'],
    ['', 'Text/Event-Stream, */*;q=0.1', 'gateway'],
    ['', '', 'api'],
    ['', 'application/json', 'api'],
    ['h2c', '*/*', 'api'],
    ['', 'websocket|', 'api'],
  ] as const) {
    t.equal(role(`${upgrade}|${accept}`), expected, `Upgrade: ${upgrade}, Accept: ${accept}`);
  }
});

t.test('a socket is upgraded, and nothing else', async (t) => {
  const [upgrade, connection] = [mapOf('upgrade'), mapOf('connection')];
  t.same([upgrade('websocket'), connection('websocket')], ['websocket', 'upgrade']);
  t.same([upgrade('WebSocket'), connection('WebSocket')], ['websocket', 'upgrade']);
  t.same([upgrade('h2c'), connection('h2c')], ['', '']);
  t.same([upgrade(''), connection('')], ['', '']);
  t.match(conf, /proxy_set_header Upgrade \$upgrade;/);
  t.match(conf, /proxy_set_header Connection \$connection;/);
  t.match(conf, /proxy_http_version 1\.1;/);
});

t.test('each role is an upstream at the port that it listens on, found anew when copies change', async (t) => {
  for (const name of ['api', 'gateway']) {
    t.match(conf, new RegExp(`upstream ${name} \\{[^}]*zone [^}]*server ${name}:8000 resolve`), name);
  }
  t.match(conf, /resolver 127\.0\.0\.11 /);
  t.match(conf, /proxy_pass http:\/\/\$role;/);
  t.match(conf, /listen 8080;/);
});

t.test('it neither hides, nor keeps, nor cuts what it should not', async (t) => {
  const { http } = loadConfig({});
  const [, megabytes] = /client_max_body_size (\d+)m;/.exec(conf) ?? [];
  t.ok(
    Number(megabytes) * 1_048_576 > Math.max(http.bodyLimitBytes, http.batchLimitBytes),
    "Parley's limits are met first",
  );
  t.match(conf, /proxy_buffering off;/, 'event streams leave at once');
  t.match(conf, /access_log off;/, 'tokens in addresses stay out of logs');
  t.match(conf, /X-Forwarded-For \$remote_addr;/, 'what a client says of its own address is dropped');
  t.match(conf, /location = \/metrics \{\s*return 404;/);
  t.notMatch(conf, /non_idempotent/, 'no write is sent twice');
});
