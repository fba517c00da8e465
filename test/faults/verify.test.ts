/** The verifier finds every breach that it looks for, and none where there is none. On a real log and real projections. */
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import pg from 'pg';
import t from 'tap';
import { codec, type DomainEvent, event } from '../../schemas/index.ts';
import { feedMigrations } from '../../src/feed/migrations.ts';
import { openTailFeed } from '../../src/feed/tail.ts';
import { NO_STREAM } from '../../src/log/log.ts';
import { logMigrations } from '../../src/log/migrations.ts';
import { openPostgresLog, type PostgresLog } from '../../src/log/postgres.ts';
import { startEmbeddedPostgres } from '../../src/platform/embedded-postgres.ts';
import { migrate } from '../../src/platform/migrate.ts';
import { readsideMigrations, startProjector } from '../../src/readside/index.ts';
import { removeData, silentLog, temporaryDirectory } from '../support/postgres.ts';
import { type CommandRecord, texts } from './ledger.ts';
import { type Arrival, type BreachKind, type Evidence, verifyData } from './verify.ts';

const owner = { workspace: 1, account: 1 };
const dispatchOf = (number: number): string => String(number).padStart(24, 'd');

/** The server whose databases are verified: it remembers when transactions were committed. */
const dir = temporaryDirectory();
const postgres = await startEmbeddedPostgres({
  dataDir: path.join(dir, 'data'),
  settings: { track_commit_timestamp: 'on' },
  log: silentLog,
});
t.teardown(async () => {
  await postgres.stop();
  removeData(dir, postgres.dataDir);
});

async function ask(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(text).finally(() => client.end());
}

const urlOf = (name: string): string => Object.assign(new URL(postgres.url), { pathname: `/${name}` }).href;

async function append(log: PostgresLog, stream: string, events: DomainEvent[], expected = NO_STREAM): Promise<void> {
  const [outcome] = await log.append([{ commitId: randomUUID(), stream, expected, events, at: Date.now() }]);
  if (outcome?.outcome !== 'written') throw new Error(`${stream}: ${outcome?.outcome}`);
}

/** A send by its number, from acceptance to a status. */
async function send(
  log: PostgresLog,
  number: number,
  end: 'pending' | 'delivered' | 'failed',
  dispatch = dispatchOf(number),
) {
  const ref = { workspace: 3, dispatch };
  const accepted = event('DispatchAccepted', {
    ...ref,
    owner,
    key: 1,
    connector: 1,
    connectorType: 'whatsapp',
    template: 1,
    to: '+15550001111',
    text: texts.template(0).replace('{{number}}', String(number)),
  });
  await append(log, `dispatch-${dispatch}`, [accepted]);
  const at = Date.now();
  if (end === 'delivered') {
    const sent = event('DispatchSent', { ...ref, connector: 1, externalId: `wamid.${number}`, attempt: 1, sentAt: at });
    await append(log, `dispatch-${dispatch}`, [sent], 0);
    await append(log, `dispatch-${dispatch}`, [event('DispatchDelivered', { ...ref, deliveredAt: at })], 1);
  }
  if (end === 'failed')
    await append(log, `dispatch-${dispatch}`, [event('DispatchFailed', { ...ref, error: 'no', attempt: 1 })], 0);
}

async function openAccount(log: PostgresLog, number: number): Promise<void> {
  const ref = { workspace: 1, account: number };
  await append(log, `account-1-${number}`, [
    event('AccountOpened', { ...ref, kind: 'person' }),
    event('IdentifierAttached', { ...ref, kind: 'email', value: texts.email(number) }),
    event('PasswordSet', { ...ref, hash: 'a hash' }),
    event('ProfileChanged', { ...ref, displayName: 'Somebody' }),
  ]);
}

/** Projects until the rows are at the head. */
async function project(url: string, log: PostgresLog): Promise<void> {
  const head = await log.head();
  const projector = await startProjector({ url, feed: openTailFeed(log, silentLog), history: log, logger: silentLog });
  await new Promise<void>((resolve) => {
    let unwatch = (): void => {};
    const look = (): void => {
      if (projector.reached() < head) return;
      unwatch();
      resolve();
    };
    unwatch = projector.watch(look);
    look();
  });
  await projector.stop();
}

/** What a faultless run would have left: a database, and the evidence that goes with it. */
const evidence: Evidence = await (async () => {
  const url = urlOf('faultless');
  await ask(postgres.url, 'CREATE DATABASE faultless');
  await migrate(url, [...logMigrations, ...feedMigrations, ...readsideMigrations]);
  const log = await openPostgresLog({ url, codec });
  const before = Date.now();
  for (const number of [1, 2, 3]) await send(log, number, number === 3 ? 'failed' : 'delivered');
  const connector = {
    workspace: 3,
    connector: 1,
    connectorType: 'whatsapp',
    sealed: 'sealed',
    senderHash: null,
  } as const;
  await append(log, 'connector-3-1', [event('ConnectorCreated', { ...connector, name: texts.name(4) })]);
  await openAccount(log, 5);
  await project(url, log);
  await log.close();
  const command = (number: number, kind: CommandRecord['kind'], ids: string[]): CommandRecord => ({
    number,
    kind,
    keyed: kind === 'send',
    acknowledgements: ids.length,
    ids,
  });
  const arrival = (number: number): Arrival => ({ number, at: before, dispatchId: dispatchOf(number), accepted: true });
  return {
    commands: [
      command(1, 'send', [`msg_${dispatchOf(1)}`]),
      command(2, 'send', [`msg_${dispatchOf(2)}`]),
      // Stored, but its answer was lost: allowed.
      command(3, 'send', []),
      command(4, 'connector', ['conn_1']),
      command(5, 'account', ['a token']),
      // Neither stored nor answered: allowed.
      command(6, 'send', []),
    ],
    // Telegram carries no id; a send repeated before its end was recorded is allowed.
    arrivals: [arrival(1), { ...arrival(1), dispatchId: null }, arrival(2), arrival(3)],
    inFlightMs: 1_000,
  };
})();

let copies = 0;

/** Verifies a copy of the faultless run with something changed in it. */
async function verify(change: {
  readonly sql?: string;
  readonly log?: (log: PostgresLog) => Promise<void>;
  readonly evidence?: Partial<Evidence>;
}) {
  const name = `copy_${++copies}`;
  const url = urlOf(name);
  await ask(postgres.url, `CREATE DATABASE ${name} TEMPLATE faultless`);
  if (change.sql !== undefined) await ask(url, change.sql);
  if (change.log) {
    const log = await openPostgresLog({ url, codec });
    await change.log(log);
    await project(url, log);
    await log.close();
  }
  return verifyData(url, { ...evidence, ...change.evidence });
}

const { commands, arrivals } = evidence;
const changed = (number: number, changes: Partial<CommandRecord>): CommandRecord[] =>
  commands.map((each) => (each.number === number ? { ...each, ...changes } : each));
const [firstArrival] = arrivals as [Arrival];
const late = (number: number): Arrival => ({
  ...firstArrival,
  number,
  dispatchId: dispatchOf(number),
  at: Date.now() + 60_000,
});
/** Takes the log's last event back, as if it had never been written and the projector had not seen it. */
const takeBackLast = `
  DELETE FROM log.events WHERE position = (SELECT position FROM log.head);
  UPDATE log.head SET position = position - 1;
  UPDATE work.checkpoints SET position = position - 1;`;

await t.test('a faultless run', async (t) => {
  const verdict = await verify({});
  t.same(verdict.breaches, []);
  t.match(verdict, { accepted: 3, delivered: 2, failed: 1, repeatedSends: 1, silentEffects: 1, events: 13 });
});

const breaches: readonly (readonly [what: string, kinds: BreachKind[], change: Parameters<typeof verify>[0]])[] = [
  [
    'an acknowledged command that is not in the log',
    ['lost'],
    { evidence: { commands: changed(6, { acknowledgements: 1 }) } },
  ],
  ['an acknowledged command whose events are gone', ['lost', 'projection'], { sql: takeBackLast.repeat(4) }],
  [
    'a key with two effects',
    ['doubled'],
    {
      log: (log) => send(log, 2, 'delivered', 'x'.repeat(24)),
      evidence: { arrivals: arrivals.map((each) => ({ ...each, dispatchId: null })) },
    },
  ],
  [
    'one commit in two places',
    ['doubled', 'projection'],
    {
      sql: `
        INSERT INTO log.events (position, commit_id, at, revision, index, version, stream, type, data, meta)
          SELECT h.position + 1, e.commit_id, e.at, 0, 0, e.version, 'template-3-9', 'TemplateDeleted', '{"workspace":3,"template":9}', e.meta
          FROM log.events e, log.head h WHERE e.stream = 'connector-3-1';
        UPDATE log.head SET position = position + 1;`,
    },
  ],
  [
    'a replay with another id',
    ['replay'],
    { evidence: { commands: changed(1, { ids: [`msg_${dispatchOf(1)}`, 'msg_other'] }) } },
  ],
  [
    "an answer with an id that is not the log's",
    ['replay'],
    { evidence: { commands: changed(1, { ids: ['msg_other'] }) } },
  ],
  [
    'a gap in the positions',
    ['gap'],
    {
      sql: `UPDATE log.events SET position = position + 1 WHERE position = (SELECT position FROM log.head);
        UPDATE log.head SET position = position + 1;
        UPDATE work.checkpoints SET position = position + 1`,
    },
  ],
  ['a head without an event', ['gap', 'projection'], { sql: 'UPDATE log.head SET position = position + 1' }],
  ['half a commit', ['torn', 'projection'], { sql: takeBackLast }],
  [
    'a changed row of a projection',
    ['projection'],
    { sql: `UPDATE read.dispatches SET status = 'failed' WHERE status = 'delivered'` },
  ],
  ['a missing row of a projection', ['projection'], { sql: 'DELETE FROM read.connectors' }],
  ['a projector that is behind', ['projection'], { sql: 'UPDATE work.checkpoints SET position = position - 1' }],
  ['a dispatch that never arrived', ['unreached'], { evidence: { arrivals: arrivals.slice(0, -1) } }],
  [
    'a dispatch that set out after it was recorded as sent',
    ['resent'],
    { evidence: { arrivals: [...arrivals, late(1)] } },
  ],
  [
    'a dispatch that set out after it was recorded as failed',
    ['resent'],
    { evidence: { arrivals: [...arrivals, late(3)] } },
  ],
  [
    'a dispatch that set out under another id',
    ['resent'],
    { evidence: { arrivals: [...arrivals, { ...firstArrival, dispatchId: dispatchOf(2) }] } },
  ],
  [
    'a send that the log does not know',
    ['stranger'],
    { evidence: { arrivals: [...arrivals, { ...firstArrival, number: 6 }] } },
  ],
  ['an effect of no command', ['stranger'], { evidence: { commands: commands.slice(0, 4) } }],
  [
    'a dispatch without an end',
    ['unsettled'],
    {
      log: (log) => send(log, 6, 'pending'),
      evidence: { arrivals: [...arrivals, { ...firstArrival, number: 6, dispatchId: null }] },
    },
  ],
];

for (const [what, kinds, change] of breaches) {
  await t.test(what, async (t) => {
    const verdict = await verify(change);
    t.same(Object.keys(verdict.counts).sort(), [...kinds].sort(), 'found, and nothing else');
    t.same([...new Set(verdict.breaches.map(({ kind }) => kind))].sort(), [...kinds].sort(), 'told');
  });
}
