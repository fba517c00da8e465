import { spawnSync } from 'node:child_process';
import t from 'tap';
import { createLogger, type LoggerOptions } from '../../src/platform/logger.ts';

function logger(level: LoggerOptions['level'] = 'debug') {
  const lines: string[] = [];
  return { lines, log: createLogger({ level, destination: { write: (line) => void lines.push(line) } }) };
}

t.test('a line is JSON with level, time and message', async (t) => {
  const { log, lines } = logger('info');
  log.debug('not written');
  log.info({ part: 'x', position: 12n, none: null }, 'hello "world"\n');
  t.equal(lines.length, 1);
  const line = JSON.parse(lines[0] as string);
  t.match(line, { level: 'info', msg: 'hello "world"\n', part: 'x', position: '12', none: null, pid: process.pid });
  t.match(line.time, /^\d{4}-.*Z$/);
  t.equal(log.isLevelEnabled('debug'), false);
});

t.test('values under the name of a secret are left out, at any depth', async (t) => {
  const { log, lines } = logger();
  log.info({
    authorization: 'XX1',
    headers: { Cookie: 'XX2', 'set-cookie': ['XX3'], 'x-api-key': 'XX4', accept: 'fine' },
    list: [{ credentials: { accessToken: 'XX5', phoneNumberId: 'XX6' } }],
    body: { password: 'XX7', refresh_token: 'XX8', nested: { appSecret: 'XX9', idKey: Buffer.from('XX10') } },
    error: Object.assign(new Error('failed'), { config: { token: 'XX11' }, status: 401 }),
  });
  log.error(Object.assign(new Error('top'), { apiKey: 'XX12', code: 'E1' }));
  const text = lines.join('');
  t.notMatch(text, /XX\d/);
  t.match(text, /"accept":"fine"/);
  t.match(JSON.parse(lines[0] as string), { error: { message: 'failed', status: 401, stack: /logger\.test/ } });
  t.match(JSON.parse(lines[1] as string), { msg: 'top', err: { message: 'top', code: 'E1', stack: /logger\.test/ } });
});

t.test('texts are searched for what looks like a secret', async (t) => {
  const jwt = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJTRUNSRVQifQ.SECRETsignature-_x';
  for (const [text, expected] of [
    ['https://api.telegram.org/bot123456:SECRET-x_y/sendMessage', 'https://api.telegram.org/bot[redacted]/sendMessage'],
    ['http://h/bot1%3ASECRET/getMe', 'http://h/bot[redacted]/getMe'],
    ['GET /x?a=1&hub.verify_token=SECRET&b=2', 'GET /x?a=1&hub.verify_token=[redacted]&b=2'],
    ['/ping?secret=SECRET', '/ping?secret=[redacted]'],
    ['connect postgres://user:SECRET@host/db', 'connect postgres://[redacted]@host/db'],
    ['Authorization: Bearer SECRET.token-1', 'Authorization: Bearer [redacted]'],
    ['Basic U0VDUkVUOlNFQ1JFVA==', 'Basic [redacted]'],
    ['key pk_live_0123abcd_sk_SECRET99 refused', 'key pk_live_[redacted] refused'],
    ['refresh_SECRETabc123', 'refresh_[redacted]'],
    [`token ${jwt}.`, 'token [redacted].'],
    ['token 123456789:AAF-SECRETSECRETSECRETSECRETSECRETx', 'token [redacted]'],
    ['robots /bots/list?page=2 12:30:45 stays', 'robots /bots/list?page=2 12:30:45 stays'],
  ] as const) {
    const { log, lines } = logger();
    log.info(text);
    log.warn({ deep: [{ url: text }] }, 'm');
    log.error(new Error(text));
    log.info('format %s', text);
    t.equal(JSON.parse(lines[0] as string).msg, expected);
    t.equal(JSON.parse(lines[1] as string).deep[0].url, expected);
    t.equal(JSON.parse(lines[2] as string).err.message, expected);
    t.equal(JSON.parse(lines[3] as string).msg, `format ${expected}`);
    t.notMatch(lines.join(''), /SECRET|U0VDUkVU/);
  }
});

t.test('objects without end are cut off', async (t) => {
  const { log, lines } = logger();
  const round: Record<string, unknown> = { many: Array.from({ length: 1_000 }, (_, i) => i) };
  round.self = round;
  log.info(round, 'x');
  const line = JSON.parse(lines[0] as string);
  t.equal(line.many.length, 100);
  t.match(lines[0], /\[deeper\]/);
});

t.test('lines go to standard error, before the process ends', async (t) => {
  const file = JSON.stringify(new URL('../../src/platform/logger.ts', import.meta.url).href);
  const code = `const { createLogger } = await import(${file}); createLogger({ level: 'info' }).error('last words'); process.exit(3);`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    encoding: 'utf8',
  });
  t.equal(status, 3);
  t.equal(stdout, '');
  t.match(JSON.parse(stderr), { msg: 'last words' });
});
