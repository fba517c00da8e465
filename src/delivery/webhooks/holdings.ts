import type { Queryable } from '../../../projections/projection.ts';
import { activeWebhooks, type WebhookRef, webhookStanding } from '../../../projections/webhooks/queries.ts';
import { DomainError, type WebhookCommands, type WebhookState } from '../../commands/index.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Reached } from '../reached.ts';
import { Endpoint, type EndpointSettings } from './endpoint.ts';
import type { Holding, WebhookLeases } from './leases.ts';
import type { WebhookSchedule } from './schedule.ts';

/** What holding webhooks needs. */
export interface HoldingsOptions {
  readonly read: Queryable;
  readonly reached: Reached;
  readonly head: () => Promise<bigint>;
  readonly leases: WebhookLeases;
  readonly commands: Pick<WebhookCommands, 'webhook' | 'openSecret' | 'openHeaders'>;
  readonly clock: Clock;
  readonly schedule: WebhookSchedule;
  readonly leaseMs: number;
  readonly sole: boolean;
  readonly concurrencyPerWebhook: number;
  readonly maxOpenPerWebhook: number;
  /** Events of this workspace are wanted, or are not any more. */
  readonly follow: (workspace: number) => void;
  readonly unfollow: (workspace: number) => void;
  readonly onOpen: (endpoint: Endpoint) => void;
  /** Nothing more is begun at an endpoint. */
  readonly onClosing: () => void;
  readonly onTrouble: (error: unknown) => void;
}

/** A lease is believed in no longer than this before its end. */
const leaseMarginMs = 2_000;
/** Webhooks of one claim. */
const maxClaim = 100;
/** How many more than its share a process keeps: handing over costs a while. */
const slack = { least: 1, share: 0.1 } as const;

/** The webhooks that this process delivers to: its share of them, by leases. */
export class Holdings {
  readonly #options: HoldingsOptions;
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #byWorkspace = new Map<number, Set<Endpoint>>();
  /** Being taken up; true when something was heard of it meanwhile. */
  readonly #opening = new Map<string, boolean>();
  /** To be taken up again as soon as they are let go. */
  readonly #reopen = new Set<string>();
  /** Let go of, and the database may not know it yet: a claim now would be undone by that. */
  readonly #releasing = new Map<string, Promise<void>>();
  #share = Number.POSITIVE_INFINITY;
  #renewing = false;
  #stopped = false;

  constructor(options: HoldingsOptions) {
    this.#options = options;
  }

  get all(): Iterable<Endpoint> {
    return this.#endpoints.values();
  }

  get size(): number {
    return this.#endpoints.size;
  }

  get({ workspace, webhook }: WebhookRef): Endpoint | undefined {
    return this.#endpoints.get(`${workspace}/${webhook}`);
  }

  of(workspace: number): Iterable<Endpoint> {
    return this.#byWorkspace.get(workspace) ?? [];
  }

  /** True while its lease is surely ours. */
  isOurs(endpoint: Endpoint, now: number): boolean {
    return now - endpoint.renewedAt < this.#options.leaseMs - leaseMarginMs;
  }

  /** Looks which webhooks there are, takes up those that nobody has, and lets go of what is above this process's share. */
  async look(): Promise<void> {
    const { read, leases, sole } = this.#options;
    const holders = sole ? 1 : await leases.alive();
    const active = await activeWebhooks(read);
    if (this.#stopped) return;
    this.#share = Math.ceil(active.length / holders);
    const names = new Set(active.map(nameOf));
    for (const endpoint of this.#endpoints.values()) if (!names.has(nameOf(endpoint))) this.letGo(endpoint);
    let surplus = this.size - this.#share - Math.max(slack.least, Math.floor(this.#share * slack.share));
    for (const endpoint of this.#endpoints.values()) {
      if (surplus-- <= 0) break;
      this.letGo(endpoint);
    }
    await this.#takeFree(active);
  }

  /** Takes up what nobody has, as far as there is room for it in this process's share. */
  async #takeFree(active: readonly WebhookRef[]): Promise<void> {
    const isFree = (ref: WebhookRef) => !this.#isHere(nameOf(ref));
    if (this.#room <= 0 || !active.some(isFree)) return;
    // What others have must not use up the room: what nobody has would stay with nobody.
    const elsewhere = new Set((await this.#options.leases.elsewhere()).map(nameOf));
    const free = active.filter((ref) => isFree(ref) && !elsewhere.has(nameOf(ref)));
    // Processes that look at the same moment begin at different places; what one does not get it looks for next time.
    const begin = Math.floor(Math.random() * free.length);
    const wanted = [...free.slice(begin), ...free.slice(0, begin)].slice(0, Math.max(this.#room, 0));
    for (let i = 0; i < wanted.length && !this.#stopped; i += maxClaim)
      await this.#takeUp(wanted.slice(i, i + maxClaim).filter(isFree));
  }

  /** How many more are this process's share. */
  get #room(): number {
    return this.#share - this.size - this.#opening.size;
  }

  /** True from when a webhook is claimed until its lease has been let go. */
  #isHere(name: string): boolean {
    return this.#endpoints.has(name) || this.#opening.has(name) || this.#releasing.has(name);
  }

  /** A webhook was made or made active: takes it up, if nobody has it and it fits this process's share. */
  appeared(ref: WebhookRef): void {
    const name = nameOf(ref);
    const endpoint = this.#endpoints.get(name);
    if (endpoint) {
      // It was just switched off; what is under way ends first.
      if (endpoint.closing) this.#reopen.add(name);
      return;
    }
    if (this.#releasing.has(name)) {
      this.#reopen.add(name);
      return;
    }
    if (this.#touched(name) || this.size >= this.#share + slack.least) return;
    this.#takeUp([ref]).catch(this.#options.onTrouble);
  }

  /** Something was heard of a webhook: one that is being taken up just now is looked at again. True when it is. */
  #touched(name: string): boolean {
    if (!this.#opening.has(name)) return false;
    this.#opening.set(name, true);
    return true;
  }

  /** A webhook changed: its settings are read again. */
  async changed(ref: WebhookRef): Promise<void> {
    const endpoint = this.get(ref);
    if (!endpoint) {
      this.#touched(nameOf(ref));
      return;
    }
    try {
      endpoint.reconfigure(this.#settings(await this.#options.commands.webhook(ref.workspace, ref.webhook)));
    } catch (error) {
      // Deleted since.
      if (!(error instanceof DomainError) || error.code !== 'not-found') throw error;
    }
  }

  /** A webhook was switched off or deleted. */
  vanished(ref: WebhookRef): void {
    this.#reopen.delete(nameOf(ref));
    const endpoint = this.get(ref);
    if (endpoint) this.letGo(endpoint);
    else this.#touched(nameOf(ref));
  }

  /** A webhook that is being taken up was heard of. */
  heard(ref: WebhookRef): void {
    this.#touched(nameOf(ref));
  }

  async #takeUp(refs: readonly WebhookRef[]): Promise<void> {
    const { leases, clock } = this.#options;
    for (const ref of refs) this.#opening.set(nameOf(ref), false);
    try {
      const at = clock.monotonicMs();
      const claimed = await leases.claim(refs);
      // All of them end before any counts as ended: what is still being opened is not claimed again.
      const opened = await Promise.allSettled(claimed.map((holding) => this.#open(holding, at)));
      for (const each of opened) if (each.status === 'rejected') throw each.reason;
    } finally {
      for (const ref of refs) this.#opening.delete(nameOf(ref));
    }
  }

  /** What the holder before recorded has to be in the rows. */
  async #rowsCatchUp(): Promise<void> {
    await this.#options.reached.until(await this.#options.head());
  }

  async #open(holding: Holding, renewedAt: number): Promise<void> {
    const { leases, follow, unfollow, onOpen } = this.#options;
    const name = nameOf(holding);
    // Followed before it is read where it stands: nothing falls between.
    follow(holding.workspace);
    let endpoint: Endpoint | null = null;
    try {
      do {
        this.#opening.set(name, false);
        await this.#rowsCatchUp();
        endpoint = await this.#make(holding, renewedAt);
      } while (this.#opening.get(name) === true && !this.#stopped);
    } finally {
      if (!endpoint || this.#stopped) {
        unfollow(holding.workspace);
        await leases.release([holding]);
      }
    }
    if (!endpoint || this.#stopped) return;
    this.#endpoints.set(name, endpoint);
    const others = this.#byWorkspace.get(holding.workspace);
    if (others) others.add(endpoint);
    else this.#byWorkspace.set(holding.workspace, new Set([endpoint]));
    onOpen(endpoint);
  }

  async #make({ workspace, webhook, position }: Holding, renewedAt: number): Promise<Endpoint | null> {
    const { commands, read, schedule, concurrencyPerWebhook: most, maxOpenPerWebhook: maxOpen } = this.#options;
    const standing = await webhookStanding(read, workspace, webhook);
    if (!standing) return null;
    try {
      const state = await commands.webhook(workspace, webhook);
      // The rows tell of another time; whoever hears of it takes it up.
      if (!state.isActive || state.activation !== standing.activation) return null;
      const { failureCount: count, failureAt: at, open } = standing;
      const tracks = standing.tracks.map((track) =>
        track.replay === 0 && position > track.upTo ? { ...track, upTo: position } : track,
      );
      const failures = { count, at };
      return new Endpoint({ ...this.#settings(state), failures, open, tracks, schedule, most, maxOpen, renewedAt });
    } catch (error) {
      if (error instanceof DomainError && error.code === 'not-found') return null;
      throw error;
    }
  }

  #settings(state: WebhookState): EndpointSettings {
    const { commands } = this.#options;
    return { state, secret: commands.openSecret(state), headers: commands.openHeaders(state) };
  }

  /** Begins nothing more at an endpoint, and lets its lease go when all that is under way is recorded. */
  letGo(endpoint: Endpoint): void {
    endpoint.close();
    this.#options.onClosing();
    this.settled(endpoint);
  }

  /** Lets go of all endpoints of a workspace. */
  letGoOf(workspace: number): void {
    for (const endpoint of [...this.of(workspace)]) this.letGo(endpoint);
  }

  /** Something of an endpoint ended: one that is let go may be through. */
  settled(endpoint: Endpoint): void {
    const name = nameOf(endpoint);
    if (!endpoint.closing || !endpoint.idle || this.#endpoints.get(name) !== endpoint) return;
    const { leases, unfollow, onTrouble } = this.#options;
    const { workspace, webhook, upTo: position } = endpoint;
    this.#endpoints.delete(name);
    const others = this.#byWorkspace.get(workspace);
    others?.delete(endpoint);
    if (others?.size === 0) this.#byWorkspace.delete(workspace);
    unfollow(workspace);
    const released = leases
      .release([{ workspace, webhook, position }])
      .catch(onTrouble)
      .then(() => {
        this.#releasing.delete(name);
        if (this.#reopen.delete(name) && !this.#stopped) this.appeared({ workspace, webhook });
      });
    this.#releasing.set(name, released);
  }

  /** Renews leases; to be called several times in a third of their life. */
  async renew(now: number): Promise<void> {
    const { leases, leaseMs, onTrouble } = this.#options;
    if (this.#renewing) return;
    const due = [...this.#endpoints.values()].filter(({ renewedAt }) => now - renewedAt > leaseMs / 3);
    if (due.length === 0) return;
    this.#renewing = true;
    try {
      const kept = new Set(
        (await leases.renew(due.map(({ workspace, webhook, upTo }) => ({ workspace, webhook, position: upTo })))).map(
          nameOf,
        ),
      );
      for (const endpoint of due) {
        if (kept.has(nameOf(endpoint))) endpoint.renewedAt = now;
        else {
          endpoint.renewedAt = Number.NEGATIVE_INFINITY;
          this.letGo(endpoint);
        }
      }
    } catch (error) {
      onTrouble(error);
    } finally {
      this.#renewing = false;
    }
  }

  /** Lets go of everything; nothing more is taken up. */
  stop(): void {
    this.#stopped = true;
    for (const endpoint of [...this.#endpoints.values()]) this.letGo(endpoint);
  }

  /** Resolves when the leases of all that was let go of are over, so that others need not wait for their end. */
  async released(): Promise<void> {
    await Promise.all(this.#releasing.values());
  }
}

function nameOf({ workspace, webhook }: WebhookRef): string {
  return `${workspace}/${webhook}`;
}
