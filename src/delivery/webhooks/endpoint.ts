import { afterAttempt, type Failures, maxFailures, type WebhookState } from '../../commands/index.ts';
import type { SlotTaker, Trust } from '../slots.ts';
import type { WebhookDialect } from './dialect.ts';
import { type PostTarget, postTarget } from './poster.ts';
import { deliveryId, type Ripe } from './ripe.ts';
import type { WebhookSchedule } from './schedule.ts';
import { type Signer, signer } from './signature.ts';
import { Track, type TrackItem, type TrackOptions, type TrackRoom } from './track.ts';

/** A delivery on its way. */
export interface Delivery {
  readonly id: string;
  readonly ripe: Ripe;
  readonly replay: number;
  /** Attempts made before, in all, and since the webhook was made active or the delivery redriven. */
  readonly attempts: number;
  readonly used: number;
  /** Null for one that failed before. */
  readonly first: { readonly track: Track; readonly item: TrackItem } | null;
}

/** Where a webhook posts to, and with what. */
export interface EndpointSettings {
  readonly state: WebhookState;
  readonly secret: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** What an endpoint begins with. */
export interface EndpointOptions extends EndpointSettings {
  readonly failures: Failures;
  /** Deliveries that wait for another attempt. */
  readonly open: number;
  readonly tracks: readonly TrackOptions[];
  readonly schedule: WebhookSchedule;
  /** Attempts at once at most. */
  readonly most: number;
  /** Deliveries that may wait for another attempt before first attempts pause. */
  readonly maxOpen: number;
  readonly renewedAt: number;
}

/** Attempts of a new endpoint that may be under way. Each success allows one more: twice as many every time around. */
const firstLimit = 1;
/** An attempt that takes longer makes its endpoint suspect. */
const slowMs = 1_000;
/**
 * What may stand in line at the poster: for each attempt that may be under way so many, no more than is answered in that time,
 * and with all that is under way so many characters. Whoever prepares deliveries works for tens of milliseconds at once:
 * meanwhile connections go on with what stands in line.
 */
const line = { share: 8, answeredInMs: 100, characters: 1024 * 1024 } as const;
/** What may wait in one track: for an endpoint that answers, and for any other. */
const rooms = {
  proven: { events: 2_000, characters: 4 * 1024 * 1024 },
  other: { events: 64, characters: 512 * 1024 },
} as const;

/** One webhook on its way out: what waits, what is under way, and how much of either it takes just now. Times are monotonic. */
export class Endpoint implements SlotTaker {
  readonly workspace: number;
  readonly webhook: number;
  readonly activation: number;
  readonly tracks: Track[];
  /** Replays that were taken up, those that are through included. */
  readonly replays: Set<number>;
  trust: Trust = 'new';
  failures: Failures;
  /** Deliveries that wait for another attempt, as rows. */
  open: number;
  /** Nothing new is begun. */
  closing = false;
  /** The webhook is being switched off for its failures. */
  deactivating = false;
  /** Rows may hold deliveries that are due; when the next one will be, milliseconds since the epoch. */
  dirty = true;
  nextDue = Number.POSITIVE_INFINITY;
  loading = false;
  /** Rows up to here show what was recorded of it. */
  recordedTo = 0n;
  /** When its lease was renewed last. */
  renewedAt: number;
  /** Begun and not known to be recorded. */
  unrecorded = 0;
  /** Handed to the poster, and of these those that stand in line there: they have no slot. */
  inFlight = 0;
  inLine = 0;
  #charactersOut = 0;
  /** Deliveries that failed before: those here, and those whose record the rows may not show yet. */
  readonly retries: Delivery[] = [];
  readonly busy = new Map<string, bigint | null>();
  readonly #schedule: WebhookSchedule;
  readonly #most: number;
  readonly #maxOpen: number;
  readonly #startedAt = new Map<Delivery, number>();
  #state: WebhookState;
  #target: PostTarget;
  #signer: Signer;
  /** What the bodies of all its deliveries say of it; null before the first. */
  #own: string | null = null;
  #events: ReadonlySet<string>;
  #rooms: ReadonlySet<number>;
  #limit = firstLimit;
  /** Came back from the line: they go first. */
  readonly #returned: Delivery[] = [];
  #isQuick = false;
  #failuresInRow = 0;
  #pausedUntil = 0;
  #pauseMs: number;
  #turn = 0;

  constructor(options: EndpointOptions) {
    const { state, failures, open, tracks, schedule } = options;
    this.workspace = state.workspace;
    this.webhook = state.webhook;
    this.activation = state.activation;
    this.failures = failures;
    if (failures.count > 0) this.trust = 'suspect';
    this.open = open;
    this.renewedAt = options.renewedAt;
    this.tracks = tracks.map((track) => new Track(track));
    this.replays = new Set(tracks.map(({ replay }) => replay));
    this.#schedule = schedule;
    this.#most = options.most;
    this.#maxOpen = options.maxOpen;
    this.#pauseMs = schedule.pauseMs.first;
    this.#state = state;
    this.#target = postTarget(state.url, options.headers);
    this.#signer = signer(options.secret);
    this.#events = new Set(state.events);
    this.#rooms = new Set(state.roomFilters);
  }

  /** Takes new settings; what waits is taken again by them. */
  reconfigure({ state, secret, headers }: EndpointSettings): void {
    this.#state = state;
    this.#target = postTarget(state.url, headers);
    this.#signer = signer(secret);
    this.#events = new Set(state.events);
    this.#rooms = new Set(state.roomFilters);
    for (const track of this.tracks) track.trim(0);
  }

  get target(): PostTarget {
    return this.#target;
  }

  get signer(): Signer {
    return this.#signer;
  }

  /** The last part of the body of one attempt, behind `data`. */
  meta(dialect: Pick<WebhookDialect, 'spellWorkspace' | 'spellWebhook'>, { id, attempts, ripe }: Delivery): string {
    this.#own ??= JSON.stringify({
      client_id: dialect.spellWorkspace(this.workspace),
      webhook_id: dialect.spellWebhook(this.workspace, this.webhook),
    }).slice(0, -1);
    return `,"meta":${this.#own},"delivery_id":"${id}","attempt":${attempts + 1},"position":"${ripe.position}"}}`;
  }

  /** True for what this webhook asks for (`room_filters` pass events without a room). */
  wants(ripe: Ripe): boolean {
    if (!this.#events.has(ripe.name)) return false;
    return ripe.room === null || this.#rooms.size === 0 || this.#rooms.has(ripe.room);
  }

  get state(): WebhookState {
    return this.#state;
  }

  get idle(): boolean {
    return this.inFlight === 0 && this.unrecorded === 0;
  }

  /** What may wait in each track now. */
  get room(): TrackRoom {
    return this.trust === 'proven' ? rooms.proven : rooms.other;
  }

  /** The position up to which nothing of its own is open: what another process can begin after. */
  get upTo(): bigint {
    return this.tracks.find(({ replay }) => replay === 0)?.recordedUpTo ?? 0n;
  }

  /** Whether another attempt may begin. */
  mayBegin(now: number): boolean {
    if (this.closing || this.failures.count >= maxFailures || this.inFlight >= this.#limit) return false;
    if (this.#failuresInRow < this.#schedule.breakAfter) return true;
    return now >= this.#pausedUntil && this.inFlight === 0;
  }

  /** Whether another may stand in line at the poster: for an endpoint that takes all it can get. */
  get mayLineUp(): boolean {
    return (
      !this.closing &&
      this.#isQuick &&
      this.trust === 'proven' &&
      this.#limit === this.#most &&
      this.inLine < this.#most * line.share &&
      this.#charactersOut < line.characters
    );
  }

  /** Attempts that may be under way. */
  get limit(): number {
    return this.#limit;
  }

  /** What waits for its attempt. */
  get waiting(): number {
    return this.tracks.reduce((sum, track) => sum + track.waiting, this.#returned.length + this.retries.length);
  }

  /** The delivery whose turn it is: those that failed before, the webhook's own and replays take turns. */
  next(now: number): Delivery | null {
    const returned = this.#returned.shift();
    if (returned) return this.#begun(returned, now);
    const sources = 1 + this.tracks.length;
    for (let i = 0; i < sources; i++) {
      const source = (this.#turn + i) % sources;
      const delivery = source === 0 ? (this.retries.shift() ?? null) : this.#first(this.tracks[source - 1]);
      if (!delivery) continue;
      this.#turn = (source + 1) % sources;
      return this.#begun(delivery, now);
    }
    return null;
  }

  #begun(delivery: Delivery, now: number): Delivery {
    this.inFlight++;
    this.unrecorded++;
    this.#charactersOut += delivery.ripe.head.length;
    this.#startedAt.set(delivery, now);
    return delivery;
  }

  #first(track: Track | undefined): Delivery | null {
    // What fails becomes a row: first attempts wait until there are fewer.
    if (this.open >= this.#maxOpen) return null;
    const item = track?.next();
    if (!track || !item) return null;
    const { ripe } = item;
    const id = deliveryId(ripe.id, this.workspace, this.webhook, track.replay);
    return { id, ripe, replay: track.replay, attempts: 0, used: 0, first: { track, item } };
  }

  /** Takes back a delivery that did not begin after all, or was cut off by a stop; `keep`: it waits again. */
  takeBack(delivery: Delivery, keep: boolean): void {
    this.#ended(delivery);
    this.unrecorded--;
    if (keep && !this.closing) this.#returned.push(delivery);
  }

  /** Lets go of what waits of streams that were erased; answers what has to be recorded of it. */
  forget(streams: ReadonlySet<string>): Delivery[] {
    for (const track of this.tracks) track.forget(streams);
    const gone: Delivery[] = [];
    for (const list of [this.#returned, this.retries])
      for (let i = list.length - 1; i >= 0; i--)
        if (streams.has((list[i] as Delivery).ripe.stream)) gone.push(...list.splice(i, 1));
    return gone;
  }

  /** Begins nothing more; what waits is taken up from the log and the rows again one day. */
  close(): void {
    this.closing = true;
    this.retries.length = 0;
    this.#returned.length = 0;
    for (const track of this.tracks) track.trim(0);
  }

  #ended(delivery: Delivery): void {
    this.inFlight--;
    this.#charactersOut -= delivery.ripe.head.length;
    this.#startedAt.delete(delivery);
  }

  /** What came of a delivery stands in the log. `retryAt` is null when it is over or a dead letter. */
  recorded(delivery: Delivery, retryAt: number | null, position: bigint): void {
    this.unrecorded--;
    delivery.first?.track.recorded();
    if (position > this.recordedTo) this.recordedTo = position;
    if (delivery.first === null) this.busy.set(delivery.id, position);
    if (retryAt !== null) {
      this.nextDue = Math.min(this.nextDue, retryAt);
      if (delivery.first !== null) this.open++;
    } else if (delivery.first === null) {
      this.open--;
    }
  }

  /** Learns from an answer. `at` is milliseconds since the epoch. */
  answered(delivery: Delivery, ok: boolean, now: number, at: number): void {
    const startedAt = this.#startedAt.get(delivery) ?? now;
    this.#ended(delivery);
    this.#isQuick = now - startedAt <= line.answeredInMs;
    this.failures = afterAttempt(this.failures, ok, at, this.#schedule.failureStepMs);
    if (ok) {
      this.#limit = Math.min(this.#most, this.#limit + 1);
      this.#failuresInRow = 0;
      this.#pauseMs = this.#schedule.pauseMs.first;
      this.trust = 'proven';
      return;
    }
    this.#limit = Math.max(1, Math.floor(this.#limit / 2));
    this.trust = 'suspect';
    for (const track of this.tracks) track.trim(rooms.other.events);
    // What was under way when it broke counts as one failure.
    if (++this.#failuresInRow < this.#schedule.breakAfter || now < this.#pausedUntil) return;
    this.#pausedUntil = now + this.#pauseMs;
    this.#pauseMs = Math.min(this.#pauseMs * 2, this.#schedule.pauseMs.most);
  }

  /** Looks for attempts that take long. */
  watchSlow(now: number): void {
    const oldest = this.#startedAt.values().next();
    if (!oldest.done && now - oldest.value > slowMs) this.trust = 'suspect';
  }
}
