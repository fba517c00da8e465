/**
 * Whatever happens, in whatever order: clients of two nodes come, go and are cut off at random while people post, join and
 * leave, the ring is small and the read model stands still at times. What each client has got in the end, over all its
 * sockets, is exactly what its account could see, in order, each event once.
 */
import t, { type Test } from 'tap';
import type { RecordedEvent } from '../../schemas/index.ts';
import { seeded, tailToHead } from '../conformance/log/harness.ts';
import { Chat, type Client, connect, gatewayDatabase, type Node, startNode } from './world.ts';

const accounts = [1, 2, 3, 4, 5, 6];
const rooms = [1, 2, 3];
const writers = 3;
const stepsPerWriter = 120;

type Random = () => number;

const pick = <T>(random: Random, values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
const pause = (random: Random, maxMs: number) => new Promise((resolve) => setTimeout(resolve, random() * maxMs));

/** One event, as clients and the expectation spell it. */
const spell = (event: RecordedEvent): string =>
  event.type === 'MessagePosted' ? `posted ${event.data.message}` : `${event.type} ${event.position}`;

/** Writes until its steps are done. Messages that were deleted are noted. */
async function write(random: Random, chat: Chat, deleted: Set<string>): Promise<void> {
  const posted: { room: number; message: number; stream: string }[] = [];
  for (let step = 0; step < stepsPerWriter; step++) {
    const dice = random();
    const room = pick(random, rooms);
    if (dice < 0.08) await chat.join(room, pick(random, accounts), pick(random, accounts));
    else if (dice < 0.16) await chat.leave(room, pick(random, accounts));
    else if (dice < 0.2 && posted.length > 0) {
      const message = posted.splice(Math.floor(random() * posted.length), 1)[0] as (typeof posted)[0];
      deleted.add(`posted ${message.message}`);
      await chat.delete(message.room, 1, message);
    } else {
      const receivers = random() < 0.1 ? [pick(random, accounts), pick(random, accounts)] : null;
      posted.push({ room, ...(await chat.post(room, pick(random, accounts), 'text', receivers)) });
    }
    if (random() < 0.3) await pause(random, 4);
  }
}

/** One account's client: whenever its socket is gone, or it has had enough of it, it comes back to any node. */
class Wanderer {
  readonly got: string[] = [];
  readonly #t: Test;
  readonly #random: Random;
  readonly #nodes: readonly Node[];
  readonly #account: number;
  #position = 0n;
  sockets = 0;

  constructor(t: Test, random: Random, nodes: readonly Node[], account: number) {
    this.#t = t;
    this.#random = random;
    this.#nodes = nodes;
    this.#account = account;
  }

  async #open(): Promise<Client> {
    const name = `${this.#account}/${this.sockets++}`;
    return connect(this.#t, pick(this.#random, this.#nodes), { account: this.#account, after: this.#position, name });
  }

  /** What came over a socket counts once it is closed: nothing comes after that. */
  #keep(client: Client): void {
    for (const frame of client.events) {
      this.got.push(String(frame.text));
      this.#position = BigInt(frame.position);
    }
  }

  async wander(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const client = await this.#open();
      await pause(this.#random, pick(this.#random, [2, 10, 40]));
      if (this.#random() < 0.5) client.ws.terminate();
      else client.ws.close(1000);
      await client.closed;
      this.#keep(client);
    }
  }

  async settle(head: bigint): Promise<void> {
    const client = await this.#open();
    await client.reached(head);
    this.#keep(client);
  }
}

/** What an account could see of the log, in order. */
function visible(events: readonly RecordedEvent[], account: number): string[] {
  const inRooms = new Set<number>();
  const seen: string[] = [];
  for (const event of events) {
    const { data } = event as RecordedEvent & { data: { room?: number; account?: number } };
    if (event.type === 'MembershipStarted' && data.account === account) inRooms.add(data.room as number);
    const audience = event.type === 'MessagePosted' ? event.data.audience : null;
    if (audience ? audience.receivers.includes(account) : inRooms.has(data.room as number)) seen.push(spell(event));
    if (event.type === 'MembershipEnded' && data.account === account) inRooms.delete(data.room as number);
  }
  return seen;
}

await t.test('each client gets exactly what its account could see', async (t) => {
  const random = seeded(t);
  const url = await gatewayDatabase(t);
  const options = {
    limits: {
      ring: { maxEvents: 6, maxBytes: 1_000_000 },
      pageItems: 6,
      pageBytes: 700,
      maxIdleAccounts: 1,
    },
    dialect: {
      variant: () => 0,
      frames: (event: RecordedEvent, _variant: unknown, { at }: { at: string }) => [
        JSON.stringify({ type: 'event', text: spell(event), position: at }),
      ],
      itemFrames: ({ event }: { event: RecordedEvent }, _session: unknown, { at }: { at: string }) => [
        JSON.stringify({ type: 'event', text: spell(event), position: at }),
      ],
    },
  };
  const nodes = [await startNode(t, url, options), await startNode(t, url, options)];
  const chats = Array.from({ length: writers }, (_, i) => new Chat((nodes[i % 2] as Node).log, 1, 1_000 * i));
  await chats[0]?.join(1, ...accounts);
  const deleted = new Set<string>();
  const wanderers = accounts.flatMap((account) =>
    [account, account].map((each) => new Wanderer(t, random, nodes, each)),
  );
  let over = false;
  const wandering = wanderers.map((wanderer) => wanderer.wander(() => over));
  const troubling = (async () => {
    while (!over) {
      const node = pick(random, nodes);
      if (random() < 0.2) await node.gateway.drain();
      node.readModel.hold();
      await pause(random, 100);
      node.readModel.release();
      await pause(random, 60);
    }
  })();
  await Promise.all(chats.map((chat) => write(random, chat, deleted)));
  over = true;
  await Promise.all([...wandering, troubling]);
  const log = (nodes[0] as Node).log;
  const head = await log.head();
  await Promise.all(wanderers.map((wanderer) => wanderer.settle(head)));
  const events = await tailToHead(t, log);
  // Who was there before a message was deleted has seen it; who came later has not.
  const lasting = (texts: readonly string[]) => texts.filter((text) => !deleted.has(text));
  let sockets = 0;
  for (const [i, wanderer] of wanderers.entries()) {
    const account = accounts[i >> 1] as number;
    const expected = visible(events, account);
    t.same(lasting(wanderer.got), lasting(expected), `account ${account}`);
    t.equal(new Set(wanderer.got).size, wanderer.got.length, 'nothing twice');
    const known = new Set(expected);
    t.ok(
      wanderer.got.every((text) => known.has(text)),
      'nothing that was not for it',
    );
    sockets += wanderer.sockets;
  }
  const gauges = nodes.map((node) => node.sockets.gauges());
  // From the beginning, too: what is left of it.
  for (const account of accounts) {
    const newcomer = new Wanderer(t, random, nodes, account);
    await newcomer.settle(head);
    t.same(newcomer.got, lasting(visible(events, account)), `account ${account} from the beginning`);
  }
  const sum = (name: 'joinedFromRing' | 'joinedFromHistory') => gauges.reduce((all, each) => all + each[name], 0);
  t.comment(`${events.length} events, ${sockets} sockets, ${sum('joinedFromHistory')} of them from history`);
  t.ok(sum('joinedFromRing') > 0 && sum('joinedFromHistory') >= accounts.length, 'both ways were gone');
  for (const node of nodes) t.same(node.troubles, []);
});
