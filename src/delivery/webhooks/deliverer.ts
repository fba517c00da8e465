import { maxFailures } from '../../commands/index.ts';
import { sleep } from '../../platform/clock.ts';
import { Reached } from '../reached.ts';
import { Slots } from '../slots.ts';
import { Control } from './control.ts';
import type { Delivery, Endpoint } from './endpoint.ts';
import { Filler } from './filler.ts';
import { Holdings } from './holdings.ts';
import type { WebhookDepths, WebhookOutcome, Webhooks, WebhooksOptions } from './index.ts';
import { WebhookLeases } from './leases.ts';
import { Live } from './live.ts';
import type { Poster } from './poster.ts';
import { type Ended, type Outcome, WebhookRecorder } from './recorder.ts';
import { Scanner } from './scanner.ts';
import { defaultWebhookSchedule, retryAt, type WebhookSchedule } from './schedule.ts';
import type { WebhookAnswer } from './sender.ts';

/** Ends that may wait to be recorded before nothing more is begun. */
const maxUnrecorded = 4_000;
/** How long it is remembered that a stream was erased: what was being read at that moment is not sent. */
const erasedForMs = 60_000;
const troubledMs = 1_000;
/** What happens is told when the rows show it, and soon. */
const patience = { lookMs: 5, patienceMs: 0 } as const;
/** For what is under way at a stop, and for its recording. */
const stopGraceMs = 5_000;

/** Delivers until it is stopped. The contract is in `index.ts`. */
export class Deliverer implements Webhooks {
  readonly ready: Promise<void>;
  readonly done: Promise<void>;
  readonly #options: WebhooksOptions;
  readonly #schedule: WebhookSchedule;
  readonly #stopping = new AbortController();
  readonly #reached: Reached;
  readonly #leases: WebhookLeases;
  readonly #holdings: Holdings;
  readonly #control: Control;
  readonly #live: Live;
  readonly #scanner: Scanner;
  readonly #filler: Filler;
  readonly #poster: Poster;
  readonly #recorder: WebhookRecorder;
  readonly #slots: Slots<Endpoint>;
  readonly #erased = new Map<string, number>();
  readonly #soon = new Set<Endpoint>();
  readonly #running = new Set<Promise<unknown>>();
  #tick: NodeJS.Timeout | null = null;
  #looking: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | null = null;

  constructor(options: WebhooksOptions) {
    this.#options = options;
    const { feed, history, dialect, clock, commands, read, work, sole, leaseMs = 30_000 } = options;
    const { signal } = this.#stopping;
    const onTrouble = (error: unknown) => this.#trouble(error);
    const schedule = options.schedule ?? defaultWebhookSchedule;
    this.#schedule = schedule;
    this.#reached = new Reached(options.projected, patience);
    this.#leases = new WebhookLeases(work, leaseMs);
    const group = `webhooks-${this.#leases.holder}`;
    this.#live = new Live({
      feed,
      history,
      dialect,
      clock,
      reached: this.#reached,
      signal,
      group,
      onTrouble,
      onRipe: (workspaces) => this.#onRipe(workspaces),
      onControl: (event) => this.#control.hear(event),
      onErased: (streams) => this.#onErased(streams),
    });
    this.#scanner = new Scanner({ history, dialect, reached: this.#reached, signal, onTrouble });
    this.#filler = new Filler({
      ...options,
      reached: this.#reached,
      live: this.#live,
      scanner: this.#scanner,
      signal,
      onFilled: (endpoint) => this.#pump(endpoint),
      onGone: (endpoint, delivery) => this.#recordErased(endpoint, delivery),
      track: (work) => this.#track(work),
      onTrouble,
    });
    this.#poster = options.poster(schedule.attemptTimeoutMs);
    this.#recorder = new WebhookRecorder({ commands, onTrouble, onRecorded: (...told) => this.#onRecorded(...told) });
    this.#slots = new Slots(options.concurrency ?? 256, (endpoint) => this.#pumpSoon(endpoint));
    this.#holdings = new Holdings({
      read,
      reached: this.#reached,
      head: () => history.head(),
      leases: this.#leases,
      commands,
      clock,
      schedule,
      leaseMs,
      sole,
      concurrencyPerWebhook: options.concurrencyPerWebhook ?? 32,
      maxOpenPerWebhook: options.maxOpenPerWebhook ?? 10_000,
      follow: (workspace) => this.#live.follow(workspace),
      unfollow: (workspace) => this.#live.unfollow(workspace),
      onOpen: (endpoint) => this.#onOpen(endpoint),
      onClosing: () => this.#poster.recall(),
      onTrouble,
    });
    this.#control = new Control({
      holdings: this.#holdings,
      leases: this.#leases,
      onNews: (endpoint) => this.#pump(endpoint),
      track: (work) => this.#track(work),
    });
    const begun = this.#begin();
    this.ready = begun.then(() => {});
    this.ready.catch(() => {});
    this.done = begun.then(
      ({ hearing }) => hearing,
      () => {},
    );
    this.done.catch(() => {});
  }

  async #begin(): Promise<{ hearing: Promise<void> }> {
    const { signal } = this.#stopping;
    const { history, sole, sendAfter } = this.#options;
    let from: bigint;
    for (;;) {
      signal.throwIfAborted();
      try {
        if (sole) await this.#leases.endAll();
        from = await history.head();
        await this.#reached.until(from);
        break;
      } catch (error) {
        signal.throwIfAborted();
        this.#trouble(error);
        await sleep(troubledMs, signal);
      }
    }
    const { promise: stopped, reject } = Promise.withResolvers<never>();
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    await Promise.race([sendAfter, stopped]);
    signal.throwIfAborted();
    const hearing = this.#live.hear(from);
    this.#tick = setInterval(() => this.#onTick(), this.#options.tickMs ?? 250);
    this.#looking = this.#look();
    return { hearing };
  }

  async #look(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#holdings.look().catch((error: unknown) => this.#trouble(error));
      await sleep(this.#options.lookMs ?? 2_000, signal).catch(() => {});
    }
  }

  depths(): WebhookDepths {
    let waiting = 0;
    let inFlight = 0;
    for (const endpoint of this.#holdings.all) {
      waiting += endpoint.waiting + endpoint.inLine;
      inFlight += endpoint.inFlight - endpoint.inLine;
    }
    return { webhooks: this.#holdings.size, waiting, inFlight, recording: this.#recorder.depth };
  }

  #now(): number {
    return this.#options.clock.monotonicMs();
  }

  #onTick(): void {
    const now = this.#now();
    void this.#holdings.renew(now);
    for (const endpoint of this.#holdings.all) {
      endpoint.watchSlow(now);
      this.#pump(endpoint);
    }
    for (const [stream, at] of this.#erased) {
      if (now - at < erasedForMs) break;
      this.#erased.delete(stream);
    }
  }

  #onRipe(workspaces: ReadonlySet<number>): void {
    for (const workspace of workspaces) for (const endpoint of this.#holdings.of(workspace)) this.#pump(endpoint);
  }

  #onErased(streams: ReadonlySet<string>): void {
    const now = this.#now();
    for (const stream of streams) {
      this.#erased.delete(stream);
      this.#erased.set(stream, now);
    }
    for (const endpoint of this.#holdings.all)
      for (const delivery of endpoint.forget(streams)) this.#recordErased(endpoint, delivery);
    this.#poster.recall();
  }

  #onOpen(endpoint: Endpoint): void {
    if (endpoint.failures.count >= maxFailures) this.#deactivate(endpoint);
    this.#pump(endpoint);
  }

  /** Pumps outside of whatever is going on. */
  #pumpSoon(endpoint: Endpoint): void {
    if (this.#soon.size === 0)
      setImmediate(() => {
        const now = [...this.#soon];
        this.#soon.clear();
        for (const each of now) this.#pump(each);
      });
    this.#soon.add(endpoint);
  }

  /** Fills what waits at an endpoint, and begins what may begin. */
  #pump(endpoint: Endpoint): void {
    if (this.#stopping.signal.aborted || endpoint.closing) return;
    this.#filler.fill(endpoint);
    const now = this.#now();
    while (endpoint.mayBegin(now) && this.#maySend(endpoint, now)) {
      if (endpoint.waiting === 0) {
        this.#slots.leave(endpoint);
        break;
      }
      if (!this.#slots.take(endpoint)) break;
      const delivery = endpoint.next(now);
      if (!delivery) {
        this.#slots.give(endpoint);
        break;
      }
      this.#attempt(endpoint, delivery);
      this.#filler.fill(endpoint);
    }
    // Where others wait for slots, none is handed on within the poster.
    while (endpoint.mayLineUp && !this.#slots.areWanted && this.#maySend(endpoint, now)) {
      const delivery = endpoint.next(now);
      if (!delivery) break;
      endpoint.inLine++;
      this.#attempt(endpoint, delivery);
    }
  }

  #maySend(endpoint: Endpoint, now: number): boolean {
    const { troubled, depth } = this.#recorder;
    return !troubled && depth < maxUnrecorded && this.#holdings.isOurs(endpoint, now);
  }

  /** Something that was handed to the poster ended: what stands in line there takes its slot. */
  #freeSlot(endpoint: Endpoint): void {
    if (endpoint.inLine > 0) endpoint.inLine--;
    else this.#slots.give(endpoint);
  }

  #attempt(endpoint: Endpoint, delivery: Delivery): void {
    const { dialect, clock } = this.#options;
    const { ripe } = delivery;
    if (this.#erased.has(ripe.stream)) {
      this.#takeBack(endpoint, delivery);
      return;
    }
    const body = `${ripe.head}${endpoint.meta(dialect, delivery)}`;
    const { target, signer, limit: most } = endpoint;
    const proof = signer.sign(ripe.id, clock.now(), body);
    const attempt = this.#poster.post({ target, proof, body, most }).then((answer) => {
      this.#running.delete(attempt);
      this.#onAnswer(endpoint, delivery, answer);
    });
    this.#running.add(attempt);
  }

  /** What did not begin waits again, unless what it tells of is gone by now. */
  #takeBack(endpoint: Endpoint, delivery: Delivery): void {
    const isErased = this.#erased.has(delivery.ripe.stream);
    endpoint.takeBack(delivery, !isErased);
    this.#freeSlot(endpoint);
    if (isErased) this.#recordErased(endpoint, delivery);
  }

  #recordErased(endpoint: Endpoint, delivery: Delivery): void {
    endpoint.unrecorded++;
    this.#record({ endpoint, delivery, outcome: { end: 'erased' }, at: this.#options.clock.now() });
  }

  #onAnswer(endpoint: Endpoint, delivery: Delivery, { status, error }: WebhookAnswer): void {
    if (error === 'CLOSED') {
      // Cut off by a stop, or not begun: it was none.
      this.#takeBack(endpoint, delivery);
      this.#holdings.settled(endpoint);
      this.#pumpSoon(endpoint);
      return;
    }
    const at = this.#options.clock.now();
    endpoint.answered(delivery, error === null, this.#now(), at);
    this.#freeSlot(endpoint);
    this.#record({ endpoint, delivery, outcome: this.#outcome(endpoint, delivery, { status, error }, at), at });
    this.#pump(endpoint);
  }

  #outcome(
    endpoint: Endpoint,
    delivery: Delivery,
    { status, error }: { status: number | null; error: string | null },
    at: number,
  ): Outcome {
    if (error === null) return { end: 'delivered' };
    const never = error === 'TARGET_NOT_ALLOWED';
    const webhook = { failures: endpoint.failures.count, closing: endpoint.closing };
    return {
      end: 'failed',
      status,
      error,
      retryAt: never ? null : retryAt(this.#schedule, delivery.used + 1, at, webhook),
    };
  }

  #record(ended: Ended): void {
    this.#options.onOutcome?.(nameOf(ended.outcome));
    this.#recorder.record(ended);
  }

  #onRecorded(ended: readonly Ended[], position: bigint): void {
    const endpoints = new Set<Endpoint>();
    for (const { endpoint, delivery, outcome } of ended) {
      endpoints.add(endpoint);
      endpoint.recorded(delivery, outcome.end === 'failed' ? outcome.retryAt : null, position);
    }
    for (const endpoint of endpoints) {
      if (endpoint.failures.count >= maxFailures) this.#deactivate(endpoint);
      this.#holdings.settled(endpoint);
      this.#pump(endpoint);
    }
  }

  /** Switches off a webhook that failed too often, until that stands. */
  #deactivate(endpoint: Endpoint): void {
    if (endpoint.deactivating || endpoint.closing) return;
    endpoint.deactivating = true;
    const { workspace, webhook, activation } = endpoint;
    const work = async () => {
      for (;;) {
        try {
          await this.#options.commands.deactivateFailing(workspace, webhook, activation);
          return this.#holdings.letGo(endpoint);
        } catch (error) {
          this.#trouble(error);
          await sleep(troubledMs, this.#stopping.signal);
        }
      }
    };
    this.#track(work());
  }

  #track(work: Promise<unknown>): void {
    const tracked = work.catch((error: unknown) => this.#trouble(error)).finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
  }

  #trouble(error: unknown): void {
    if (this.#stopping.signal.aborted) return;
    this.#options.logger.warn({ err: error }, 'the delivery of webhooks met trouble and goes on');
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort(new Error('stopped'));
    this.#holdings.stop();
    const over = new AbortController();
    const ended = this.#ended().finally(() => over.abort());
    await sleep(stopGraceMs, over.signal).catch(() => {});
    await this.#poster.close();
    this.#reached.stop();
    await sleep(stopGraceMs, over.signal).catch(() => {});
    this.#recorder.abandon();
    await ended;
    if (this.#tick) clearInterval(this.#tick);
    await this.#looking;
    await this.#scanner.stopped();
    await this.#holdings.released();
    if (!this.#options.sole) await this.#leases.leave().catch(() => {});
    await this.done;
    await this.ready.catch(() => {});
  }

  async #ended(): Promise<void> {
    while (this.#running.size > 0 || this.#recorder.depth > 0) {
      await Promise.allSettled([...this.#running]);
      await this.#recorder.settled();
    }
  }
}

function nameOf(outcome: Outcome): WebhookOutcome {
  if (outcome.end !== 'failed') return outcome.end;
  return outcome.retryAt === null ? 'dead' : 'failed';
}
