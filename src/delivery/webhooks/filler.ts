import type { Queryable } from '../../../projections/projection.ts';
import type { RecordedEvent } from '../../../schemas/index.ts';
import type { WebhookCommands } from '../../commands/index.ts';
import type { History } from '../../feed/feed.ts';
import { type Clock, sleep } from '../../platform/clock.ts';
import type { Reached } from '../reached.ts';
import type { WebhookDialect } from './dialect.ts';
import type { Delivery, Endpoint } from './endpoint.ts';
import type { Live } from './live.ts';
import { loadRetries } from './retries.ts';
import type { Ripe } from './ripe.ts';
import { positionBefore, type Scanner } from './scanner.ts';
import type { Track } from './track.ts';

/** What filling needs. */
export interface FillerOptions {
  readonly read: Queryable;
  readonly reached: Reached;
  readonly history: History;
  readonly readEvent: (stream: string, revision: number) => Promise<RecordedEvent | null>;
  readonly dialect: WebhookDialect;
  readonly commands: Pick<WebhookCommands, 'finishReplay'>;
  readonly clock: Clock;
  readonly live: Live;
  readonly scanner: Scanner;
  readonly signal: AbortSignal;
  /** Something more waits at an endpoint, or may. */
  readonly onFilled: (endpoint: Endpoint) => void;
  /** A delivery that failed before tells of something that is gone. */
  readonly onGone: (endpoint: Endpoint, delivery: Delivery) => void;
  /** Keeps work in view until it ended. */
  readonly track: (work: Promise<unknown>) => void;
  readonly onTrouble: (error: unknown) => void;
}

/** Tracks are filled again when less than this share of their room is taken. */
const lowWater = 0.5;
const troubledMs = 1_000;

/** Sees to it that what is to be sent waits at each endpoint: from memory, from the log, and from rows. */
export class Filler {
  readonly #options: FillerOptions;

  constructor(options: FillerOptions) {
    this.#options = options;
  }

  /** Takes what is in memory, and asks for what is not. */
  fill(endpoint: Endpoint): void {
    const most = endpoint.room.events * lowWater;
    for (const track of [...endpoint.tracks]) {
      if (track.through) this.#finish(endpoint, track);
      else if (track.unfinished && track.waiting < most) this.#fillTrack(endpoint, track);
    }
    this.#loadRetries(endpoint);
  }

  #fillTrack(endpoint: Endpoint, track: Track): void {
    if (track.scanning || track.locating) return;
    if (!track.located) this.#locate(endpoint, track);
    else if (!this.#takeRecent(endpoint, track)) this.#scan(endpoint, track);
  }

  /** False when what follows is not in memory. */
  #takeRecent(endpoint: Endpoint, track: Track): boolean {
    const { room, workspace } = endpoint;
    const recent = this.#options.live.after(workspace, track.taken, room.events);
    if (!recent) return false;
    track.take(recent.events, recent.upTo, (ripe) => endpoint.wants(ripe), room);
    return true;
  }

  #scan(endpoint: Endpoint, track: Track): void {
    track.scanning = true;
    const { scanner, onFilled } = this.#options;
    scanner.want({
      workspace: endpoint.workspace,
      get taken() {
        return track.taken;
      },
      get space() {
        return endpoint.room.events - track.waiting;
      },
      offer(events: readonly Ripe[], upTo: bigint) {
        track.scanning = false;
        if (endpoint.closing) return;
        track.take(events, upTo, (ripe) => endpoint.wants(ripe), endpoint.room);
        onFilled(endpoint);
      },
    });
  }

  /** Finds where a replay of a time begins. */
  #locate(endpoint: Endpoint, track: Track): void {
    const { history, onFilled } = this.#options;
    track.locating = true;
    const work = async () => {
      track.startAt(await positionBefore(history, track.since ?? 0));
    };
    this.#ours(work(), () => {
      track.locating = false;
      onFilled(endpoint);
    });
  }

  /** A replay is through. */
  #finish(endpoint: Endpoint, track: Track): void {
    const { commands, signal } = this.#options;
    endpoint.tracks.splice(endpoint.tracks.indexOf(track), 1);
    const { workspace, webhook } = endpoint;
    const work = async () => {
      for (;;) {
        try {
          await commands.finishReplay(workspace, webhook, track.replay);
          return;
        } catch (error) {
          this.#options.onTrouble(error);
          // Who takes the webhook up next finds it through as well.
          await sleep(troubledMs, signal);
        }
      }
    };
    this.#ours(work(), () => {});
  }

  #loadRetries(endpoint: Endpoint): void {
    const { clock, onFilled, onGone } = this.#options;
    const nowMs = clock.now();
    if (endpoint.loading || endpoint.retries.length > 0) return;
    if (!endpoint.dirty && endpoint.nextDue > nowMs) return;
    endpoint.loading = true;
    endpoint.dirty = false;
    const work = async () => {
      try {
        for (const gone of await loadRetries(endpoint, nowMs, this.#options)) onGone(endpoint, gone);
      } catch (error) {
        endpoint.dirty = true;
        throw error;
      }
    };
    this.#ours(work(), () => {
      endpoint.loading = false;
      onFilled(endpoint);
    });
  }

  /** Does work; after trouble a while passes before what follows. */
  #ours(work: Promise<unknown>, then: () => void): void {
    const { track, signal, onTrouble } = this.#options;
    track(
      work
        .catch((error: unknown) => {
          onTrouble(error);
          return sleep(troubledMs, signal).catch(() => {});
        })
        .then(then),
    );
  }
}
