/**
 * The verifying load: writers that give numbered commands, most with idempotency keys, and send half of the keyed ones
 * again: at once, at the same moment, after the server was killed, and through the other route of the two.
 */
import { sleep } from '../../src/platform/clock.ts';
import { type Client, judge, type Reply } from './client.ts';
import { type Answer, type CommandRecord, type Ledger, texts } from './ledger.ts';
import type { Random } from './random.ts';

/** What the load works on: made before the first fault. */
export interface World {
  readonly token: string;
  readonly key: string;
  readonly projectId: string;
  readonly templateId: string;
  readonly connectorIds: Readonly<Record<Channel, string>>;
}

type Channel = 'whatsapp' | 'telegram' | 'twilio';
const channels: readonly Channel[] = ['whatsapp', 'telegram', 'twilio'];

/** Writers of single sends. */
const singleWriters = 8;
const keyedShare = 0.9;
/** Of the keyed commands, those that are sent again: a third of them at the same moment, at once, and later. */
const againShare = 0.5;
/** Of the keyed ones whose outcome is unknown, those that are left so. */
const abandonShare = 0.15;
const maxBatchItems = 40;
const finishWithinMs = 60_000;
/** A command of unknown outcome is asked for again and again, but not for ever. */
const insistForMs = 60_000;

/** Ends of a recipient that make the sandbox do something else than deliver, with their shares (see `src/sandbox`). */
const fates: readonly (readonly [ending: string, share: number])[] = [
  ['0001', 0.01],
  ['0002', 0.01],
  ['0003', 0.01],
  ['0004', 0.02],
  ['0005', 0.005],
  ['0006', 0.003],
  ['0007', 0.02],
  ['0009', 0.01],
  ['0010', 0.003],
  ['0012', 0.02],
];

interface Send {
  readonly record: CommandRecord;
  readonly body: Readonly<Record<string, unknown>>;
  readonly idempotencyKey: string | null;
}

/** The load of one run. */
export class Load {
  readonly #client: Client;
  readonly #ledger: Ledger;
  readonly #world: World;
  readonly #random: Random;
  readonly #slower: number;
  readonly #stop = new AbortController();
  /** Even what is unknown is left so. */
  readonly #givenUp = new AbortController();
  readonly #running: Promise<void>[] = [];
  /** Acknowledged sends that are to be sent again, and after how many kills. */
  #later: { send: Send; afterKills: number }[] = [];
  /** Keyed sends whose outcome nobody knows. */
  readonly #abandoned: Send[] = [];
  #kills = 0;
  #failure: unknown = null;

  /** @param options `slower`: how many times as long the pauses are; 1 unless told */
  constructor(options: { client: Client; ledger: Ledger; world: World; random: Random; slower?: number }) {
    this.#slower = options.slower ?? 1;
    this.#client = options.client;
    this.#ledger = options.ledger;
    this.#world = options.world;
    this.#random = options.random;
  }

  start(): void {
    for (let n = 0; n < singleWriters; n++) this.#loop(`single-${n}`, [20, 60], (random) => this.#single(random));
    this.#loop('batch', [200, 500], (random) => this.#batch(random));
    this.#loop('later', [100, 300], (random) => this.#repeatSome(random, 20));
    let turn = 0;
    this.#loop('others', [80, 200], (random) => this.#other(random, turn++));
  }

  /** Something was killed: what waits for that is sent again. */
  killed(): void {
    this.#kills++;
  }

  /** No new commands, and nothing is asked for again. */
  stop(): void {
    this.#stop.abort();
    this.#givenUp.abort();
  }

  /** No new commands: waits for those under way, then sends again what still was to be, and asks for what is unknown. */
  async finish(): Promise<void> {
    this.#stop.abort();
    const timeOut = new AbortController();
    const late = sleep(finishWithinMs, timeOut.signal).then(
      () => true,
      () => false,
    );
    const done = Promise.all(this.#running).then(() => false);
    if (await Promise.race([done, late])) throw new Error(`the load did not end within ${finishWithinMs} ms`);
    timeOut.abort();
    if (this.#failure !== null) throw this.#failure;
    this.#kills++;
    const random = this.#random.fork('finish');
    for (const send of this.#abandoned.splice(0)) if (random.chance(0.5)) await this.#insist(send, random, false);
    for (const until = Date.now() + finishWithinMs; this.#later.length > 0; ) {
      if (Date.now() > until) throw new Error(`${this.#later.length} commands could not be sent again in time`);
      await this.#repeatSome(random, 200);
    }
  }

  #loop(name: string, pauseMs: readonly [number, number], step: (random: Random) => Promise<void>): void {
    const random = this.#random.fork(name);
    const run = async (): Promise<void> => {
      while (!this.#stop.signal.aborted) {
        await step(random);
        await sleep(this.#slower * random.int(...pauseMs), this.#stop.signal).catch(() => {});
      }
    };
    this.#running.push(
      run().catch((error: unknown) => {
        this.#failure ??= error;
      }),
    );
  }

  #newSend(random: Random): Send {
    const isKeyed = random.chance(keyedShare);
    const record = this.#ledger.open('send', isKeyed);
    const { number } = record;
    const channel = channels[number % channels.length] as Channel;
    return {
      record,
      body: {
        to: recipient(channel, random),
        connectorId: this.#world.connectorIds[channel],
        templateId: this.#world.templateId,
        variables: { number: String(number) },
      },
      idempotencyKey: isKeyed ? `key of ${number}` : null,
    };
  }

  async #single(random: Random): Promise<void> {
    const send = this.#newSend(random);
    if (send.idempotencyKey === null) {
      await this.#post(send);
      return;
    }
    const isAgain = random.chance(againShare);
    const when = random.pick(['same moment', 'at once', 'later']);
    const first = this.#post(send);
    if (isAgain && when === 'same moment') {
      const [one, other] = await Promise.all([first, this.#post(send)]);
      if (one.outcome === 'unknown' && other.outcome === 'unknown') await this.#insistOrLeave(send, random);
      return;
    }
    const answer = await first;
    if (answer.outcome === 'unknown') await this.#insistOrLeave(send, random);
    if (!isAgain || send.record.acknowledgements === 0) return;
    if (when === 'at once') await this.#post(send);
    else this.#later.push({ send, afterKills: this.#kills + 1 });
  }

  async #insistOrLeave(send: Send, random: Random): Promise<void> {
    if (random.chance(abandonShare)) this.#abandoned.push(send);
    else await this.#insist(send, random, true);
  }

  /** Sends again until the outcome is known. */
  async #insist(send: Send, random: Random, leave: boolean): Promise<void> {
    for (const until = Date.now() + insistForMs; Date.now() < until && !this.#givenUp.signal.aborted; ) {
      await sleep(random.int(50, 250));
      const answer = await this.#post(send);
      if (answer.outcome !== 'unknown') return;
    }
    if (!leave) throw new Error(`number ${send.record.number} was not answered within ${insistForMs} ms`);
    this.#abandoned.push(send);
  }

  async #post({ record, body, idempotencyKey }: Send): Promise<Answer> {
    const requestedAt = Date.now();
    const reply = await this.#client.tryCall({
      method: 'POST',
      path: '/api/v1/messages',
      credential: this.#world.key,
      json: body,
      ...(idempotencyKey !== null && { idempotencyKey }),
    });
    const answer = judge(reply, 'messageId');
    this.#ledger.note(record, answer, requestedAt);
    return answer;
  }

  async #batch(random: Random): Promise<void> {
    const sends = Array.from({ length: random.int(5, maxBatchItems) }, () => this.#newSend(random));
    const keyed = sends.filter(({ idempotencyKey }) => idempotencyKey !== null);
    // The same key twice in one batch counts as a replay.
    const twins = keyed.filter(() => random.chance(0.05));
    const open = await this.#postBatch([...sends, ...twins], random);
    const unknown = new Set(open.filter(({ idempotencyKey }) => idempotencyKey !== null));
    if (unknown.size > 0 && random.chance(abandonShare)) this.#abandoned.push(...unknown);
    else if (unknown.size > 0) await this.#insistOnBatch([...unknown], random);
    for (const send of keyed) {
      if (send.record.acknowledgements === 0 || !random.chance(againShare)) continue;
      this.#later.push({ send, afterKills: this.#kills + random.int(0, 1) });
    }
  }

  async #insistOnBatch(sends: readonly Send[], random: Random): Promise<void> {
    let open = [...sends];
    const goesOn = (): boolean => open.length > 0 && !this.#givenUp.signal.aborted;
    for (const until = Date.now() + insistForMs; Date.now() < until && goesOn(); ) {
      await sleep(random.int(50, 250));
      open = await this.#postBatch(open, random);
    }
    this.#abandoned.push(...open);
  }

  /** Answers those whose outcome is unknown. */
  async #postBatch(sends: readonly Send[], random: Random): Promise<Send[]> {
    const requestedAt = Date.now();
    const items = sends.map(({ body, idempotencyKey }) => ({
      ...body,
      ...(idempotencyKey !== null && { idempotencyKey }),
    }));
    const isLines = random.chance(0.5);
    const reply = await this.#client.tryCall({
      method: 'POST',
      path: '/api/v1/messages/batch',
      credential: this.#world.key,
      ...(isLines
        ? { text: items.map((item) => JSON.stringify(item)).join('\n'), contentType: 'application/x-ndjson' }
        : { json: items }),
    });
    const answers = itemsOf(reply, isLines, sends.length);
    sends.forEach(({ record }, at) => {
      this.#ledger.note(record, answers[at] as Answer, requestedAt);
    });
    return sends.filter((_, at) => (answers[at] as Answer).outcome === 'unknown');
  }

  /** Sends again some of what waits for that; what finds no answer goes on waiting. */
  async #repeatSome(random: Random, max: number): Promise<void> {
    const due = this.#later.filter(({ afterKills }) => afterKills <= this.#kills).slice(0, max);
    if (due.length === 0) return;
    const taken = new Set(due);
    this.#later = this.#later.filter((each) => !taken.has(each));
    const sends = due.map(({ send }) => send);
    const open = random.chance(0.5)
      ? await this.#postBatch(sends, random)
      : (await Promise.all(sends.map(async (send) => ({ send, answer: await this.#post(send) }))))
          .filter(({ answer }) => answer.outcome === 'unknown')
          .map(({ send }) => send);
    this.#later.push(...open.map((send) => ({ send, afterKills: 0 })));
  }

  /** The commands of the dashboard, one attempt each: they carry no keys. */
  async #other(random: Random, turn: number): Promise<void> {
    const kinds = ['template-change', 'connector', 'project', 'project-change', 'key'] as const;
    // An account costs a password hash.
    const kind = turn % 15 === 14 ? 'account' : (kinds[turn % kinds.length] ?? 'project');
    const record = this.#ledger.open(kind, false);
    const { number } = record;
    const { projectId, templateId, token } = this.#world;
    const home = `/api/v1/projects/${projectId}`;
    const name = texts.name(number);
    const calls = {
      'template-change': ['PUT', `${home}/templates/${templateId}`, { content: texts.template(number) }],
      connector: [
        'POST',
        `${home}/connectors`,
        { type: 'telegram', name, credentials: { botToken: `${number}:token` } },
      ],
      project: ['POST', '/api/v1/projects', { name, description: 'made under faults' }],
      'project-change': ['PUT', home, { name }],
      key: ['POST', `${home}/keys`, { name }],
      account: [
        'POST',
        '/api/v1/auth/register',
        { email: texts.email(number), password: 'a password', name: 'Somebody' },
      ],
    } as const;
    const [method, path, json] = calls[kind];
    const requestedAt = Date.now();
    const reply = await this.#client.tryCall({ method, path, credential: kind === 'account' ? null : token, json });
    this.#ledger.note(record, judge(reply, kind === 'account' ? 'token' : 'id'), requestedAt);
    if (reply === null) await sleep(random.int(50, 250));
  }
}

function recipient(channel: Channel, random: Random): string {
  let draw = random.next();
  let ending = String(random.int(1_000, 9_999));
  for (const [magic, share] of fates) {
    if (draw >= 0 && draw < share) ending = magic;
    draw -= share;
  }
  return `${channel === 'telegram' ? '8' : '+1555'}${random.int(100, 999)}${ending}`;
}

/** The answers of a batch, one an item. */
function itemsOf(reply: Reply | null, isLines: boolean, count: number): Answer[] {
  const all = (answer: Answer): Answer[] => Array.from({ length: count }, () => answer);
  if (reply === null || reply.status === 503) return all({ outcome: 'unknown' });
  const unexpected = all({ outcome: 'unexpected', text: `batch: ${reply.status} ${reply.text.slice(0, 300)}` });
  if (reply.status !== 200) return unexpected;
  try {
    const lines: unknown = isLines
      ? reply.text
          .split('\n')
          .filter((line) => line !== '')
          .map((line): unknown => JSON.parse(line))
      : JSON.parse(reply.text);
    if (!Array.isArray(lines) || lines.length !== count) return unexpected;
    return lines.map((item: { status?: unknown }) =>
      judge({ status: Number(item.status), text: JSON.stringify(item) }, 'messageId'),
    );
  } catch {
    return unexpected;
  }
}
