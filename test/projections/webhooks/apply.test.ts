/** Rows of webhooks: the same however the history is cut, and with, after and without what was erased. */
import t from 'tap';
import {
  activeWebhooks,
  dueDeliveries,
  findDeadLetter,
  findWebhook,
  listDeadLetters,
  listWebhooks,
  webhookStanding,
} from '../../../projections/webhooks/queries.ts';
import { type DomainEvent, event, type RecordedEvent } from '../../../schemas/index.ts';
import { type Random, randomOf } from '../history.ts';
import { applyAll, cut, rowsFrom, scratchDatabase, seedOf, useSchema } from '../scratch.ts';

/** A history of webhooks of two workspaces, by the rules of the domain or close enough. */
function history(random: Random, length: number) {
  const events: RecordedEvent[] = [];
  const erased: string[] = [];
  const lives = new Map<
    string,
    { workspace: number; webhook: number; active: boolean; replays: number; activation: number }
  >();
  const dead: { workspace: number; webhook: number }[] = [];
  let serial = 0;
  let at = 1_750_000_000_000;
  const append = (stream: string, happened: DomainEvent) => {
    at += Math.floor(random() * 10_000);
    const position = BigInt(events.length + 1);
    events.push({ ...happened, position, stream, revision: 0, commitId: String(position), index: 0, at, meta: {} });
  };
  const streamOf = ({ workspace, webhook }: { workspace: number; webhook: number }) =>
    `webhook-${workspace}-${webhook}`;
  const pick = <T>(from: readonly T[]) => from[Math.floor(random() * from.length)] as T;
  const create = () => {
    const ref = { workspace: 7 + (serial % 2), webhook: ++serial };
    lives.set(streamOf(ref), { ...ref, active: true, replays: 0, activation: 0 });
    const headerNames = random() < 0.5 ? ['x-a'] : [];
    const roomFilters = random() < 0.5 ? [1, 2] : [];
    const settings = {
      url: `https://example.com/${serial}`,
      events: ['a', 'b'],
      sealedSecret: 's',
      sealedHeaders: null,
    };
    append(
      streamOf(ref),
      event('WebhookCreated', { ...ref, ...settings, headerNames, roomFilters, meta: { n: serial } }),
    );
  };
  create();
  const record = (life: { workspace: number; webhook: number; replays: number; activation: number }) => {
    const { workspace, webhook, activation } = life;
    const head = events.length;
    const delivery = () => `del_${webhook}_${Math.floor(random() * 12)}`;
    const failed = Array.from({ length: Math.floor(random() * 4) }, () => ({
      delivery: delivery(),
      replay: 0,
      // Where its event stands is the same for ever.
      position: '1',
      stream: 'message-1',
      revision: 0,
      event: 'a',
      attempt: 1 + Math.floor(random() * 5),
      used: 1,
      at: at + 0.25,
      status: random() < 0.5 ? 500 : null,
      error: 'HTTP_500',
      retryAt: random() < 0.3 ? null : at + 30_000,
    }));
    const beyond = [String(head + Math.floor(random() * 10)), String(head + 3)];
    const replay = Math.floor(random() * (life.replays + 1));
    append(
      `deliveries-${serial++}`,
      event('WebhookAttemptsRecorded', {
        workspace,
        webhook,
        activation: random() < 0.8 ? activation : Math.max(0, activation - 1),
        settled: [{ replay, upTo: String(Math.floor(random() * head)), beyond }],
        failed: [...new Map(failed.map((each) => [each.delivery, each])).values()],
        ended: random() < 0.5 ? [{ delivery: delivery(), outcome: 'delivered' as const }] : [],
        delivered: 3,
        lastAt: at,
        failureCount: Math.floor(random() * 5),
        failureAt: at,
      }),
    );
  };
  for (let i = 0; i < length; i++) {
    const roll = random();
    const life = lives.size > 0 ? pick([...lives.values()]) : null;
    if (!life || roll < 0.08) {
      create();
      continue;
    }
    const { workspace, webhook } = life;
    const ref = { workspace, webhook };
    const stream = streamOf(ref);
    if (roll < 0.55) record(life);
    else if (roll < 0.62)
      append(stream, event('WebhookChanged', { ...ref, url: 'https://example.org', events: ['b'] }));
    else if (roll < 0.72) {
      life.active = !life.active;
      if (life.active) life.activation++;
      append(
        stream,
        life.active
          ? event('WebhookActivated', ref)
          : event('WebhookDeactivated', { ...ref, reason: 'requested' as const }),
      );
    } else if (roll < 0.78) {
      const from = random() < 0.5 ? '3' : null;
      const since = from === null ? at - 1_000 : null;
      append(stream, event('WebhookReplayRequested', { ...ref, replay: ++life.replays, from, since, until: null }));
    } else if (roll < 0.82 && life.replays > 0) {
      append(stream, event('WebhookReplayFinished', { ...ref, replay: life.replays }));
    } else if (roll < 0.9) {
      const delivery = `del_${webhook}_${Math.floor(random() * 12)}`;
      append(stream, event('WebhookDeliveryRedriven', { ...ref, delivery }));
    } else if (roll < 0.94) {
      append(stream, event('WebhookDeleted', ref));
      lives.delete(stream);
      dead.push(ref);
      if (random() < 0.5) record({ ...life });
    } else if (dead.length > 0) {
      const gone = dead.splice(Math.floor(random() * dead.length), 1)[0] as typeof ref;
      append(`erased-${streamOf(gone)}`, event('WebhookErased', gone));
      erased.push(streamOf(gone));
    }
  }
  return { events, erased };
}

t.test('rows do not depend on how the history is cut, nor on whether erased history is read', async (t) => {
  const client = await scratchDatabase(t);
  const seed = seedOf(t);
  for (let i = 0; i < 4; i++) {
    const random = randomOf(seed + i);
    const { events, erased } = history(random, 300);
    const whole = await rowsFrom(client, `whole${i}`, [events]);
    t.ok(whole.webhook_deliveries?.length, 'some deliveries are open');
    t.ok(
      whole.webhooks?.some((row) => row.includes('"erased": true')),
      'some webhooks were erased',
    );
    t.same(await rowsFrom(client, `single${i}`, cut(random, events, 1)), whole, `event by event, ${seed + i}`);
    t.same(await rowsFrom(client, `cut${i}`, cut(random, events, 40)), whole, `in batches, ${seed + i}`);
    const blanked = events.filter(({ stream }) => !erased.includes(stream));
    t.same(await rowsFrom(client, `blanked${i}`, cut(random, blanked, 40)), whole, `blanked, ${seed + i}`);
  }
});

t.test('what can be asked', async (t) => {
  const client = await scratchDatabase(t);
  await useSchema(client, 'asked');
  const at = 1_750_000_000_000;
  let position = 0n;
  const events: RecordedEvent[] = [];
  const add = (happened: DomainEvent) => {
    position++;
    events.push({
      ...happened,
      position,
      stream: 's',
      revision: 0,
      commitId: 'c',
      index: 0,
      at: at + Number(position),
      meta: {},
    });
  };
  const created = (webhook: number, names: string[]) => {
    const settings = { url: 'https://example.com/', events: names, sealedSecret: 's', sealedHeaders: null, meta: null };
    add(event('WebhookCreated', { workspace: 7, webhook, ...settings, headerNames: ['x-a'], roomFilters: [] }));
  };
  created(1, ['a']);
  created(2, ['a', 'b']);
  created(3, ['b']);
  add(event('WebhookDeactivated', { workspace: 7, webhook: 3, reason: 'failing' }));
  const failed = (delivery: string, retryAt: number | null) => ({
    delivery,
    replay: 0,
    position: '9007199254740993',
    stream: 'message-7-1',
    revision: 4,
    event: 'a',
    attempt: 2,
    used: 1,
    at,
    status: 500,
    error: 'HTTP_500',
    retryAt,
  });
  add(
    event('WebhookAttemptsRecorded', {
      workspace: 7,
      webhook: 1,
      activation: 0,
      settled: [{ replay: 0, upTo: '9007199254740993', beyond: ['9007199254740995'] }],
      failed: [failed('del_a', at + 10), failed('del_b', at + 20), failed('del_c', null)],
      ended: [],
      delivered: 5,
      lastAt: at,
      failureCount: 2,
      failureAt: at,
    }),
  );
  await applyAll(client, [events]);
  t.match(await findWebhook(client, 7, 1), {
    events: ['a'],
    headerNames: ['x-a'],
    failureCount: 2,
    delivered: 5,
    failed: 3,
  });
  t.equal(await findWebhook(client, 8, 1), null, 'not from another workspace');
  const page = { limit: 10, offset: 0 };
  const numbers = async (filter: Parameters<typeof listWebhooks>[3]) =>
    (await listWebhooks(client, 7, page, filter)).items.map(({ webhook }) => webhook);
  t.same(await numbers({}), [3, 2, 1]);
  t.same(await numbers({ order: 'asc' }), [1, 2, 3]);
  t.same(await numbers({ event: 'b' }), [3, 2]);
  t.same(await numbers({ isActive: false }), [3]);
  t.same(await activeWebhooks(client), [
    { workspace: 7, webhook: 1 },
    { workspace: 7, webhook: 2 },
  ]);
  t.match(await webhookStanding(client, 7, 1), {
    activation: 0,
    failureCount: 2,
    failureAt: at,
    open: 2,
    tracks: [{ replay: 0, upTo: 9007199254740993n, beyond: [9007199254740995n], endsAt: null }],
  });
  t.equal(await webhookStanding(client, 7, 3), null, 'not of one that is off');
  const due = (nowMs: number, without: string[] = []) =>
    dueDeliveries(client, { workspace: 7, webhook: 1, nowMs, without, limit: 10 });
  t.match(await due(at + 15), {
    due: [{ delivery: 'del_a', position: 9007199254740993n, revision: 4 }],
    nextDue: at + 20,
  });
  t.match(await due(at + 15, ['del_a']), { due: [], nextDue: at + 20 });
  t.match(await due(at + 30), { due: [{ delivery: 'del_a' }, { delivery: 'del_b' }], nextDue: null });
  t.match(await listDeadLetters(client, 7, 1, page), { total: 1, items: [{ delivery: 'del_c', due: null }] });
  t.equal(await findDeadLetter(client, 7, 1, 'del_a'), null, 'one that waits is none');
  t.equal(await findDeadLetter(client, 8, 1, 'del_c'), null);
});
