import { AccountState } from './account-state.ts';
import type { Audiences } from './audience.ts';
import type { Entry, Ring } from './ring.ts';
import type { HubSession } from './session.ts';
import type { Shared } from './shared.ts';
import type { AccountRef, MembershipSpan } from './socket-dialect.ts';

/** Asks the read model. */
type LoadMemberships = (
  of: AccountRef,
  since: bigint,
) => Promise<{ readonly spans: readonly MembershipSpan[]; readonly upTo: bigint }>;

/**
 * Memberships of the accounts that have sessions, or had until a moment ago: asked for once, then kept by what the tail
 * says. Sessions that are live stand in the rooms of their accounts.
 */
export class Memberships<Context> {
  readonly #shared: Shared;
  readonly #audiences: Audiences<Context>;
  readonly #ring: Ring;
  readonly #load: LoadMemberships;
  /** Accounts without a session, the longest idle first. */
  readonly #idle = new Set<AccountState<HubSession<Context>>>();
  /** Entries that changed memberships, as far as the ring reaches. */
  readonly #changes: Entry[] = [];
  #accounts = 0;

  constructor(shared: Shared, audiences: Audiences<Context>, ring: Ring, load: LoadMemberships) {
    this.#shared = shared;
    this.#audiences = audiences;
    this.#ring = ring;
    this.#load = load;
  }

  /** Accounts that are remembered. */
  get accounts(): number {
    return this.#accounts;
  }

  /** The state of an account that has a session from now on. */
  stateOf(workspace: number, account: number): AccountState<HubSession<Context>> {
    const { states } = this.#audiences.of(workspace);
    let state = states.get(account);
    if (state === undefined) {
      state = new AccountState(workspace, account);
      states.set(account, state);
      this.#accounts++;
    }
    this.#idle.delete(state);
    return state;
  }

  /** An account's last session has gone. */
  idle(state: AccountState<HubSession<Context>>): void {
    state.idleSinceMs = this.#shared.nowMs();
    this.#idle.add(state);
    if (this.#idle.size > this.#shared.limits.maxIdleAccounts) this.#forget(this.#idle.values().next().value);
  }

  /** Forgets accounts that have been idle for long. */
  sweep(): void {
    const nowMs = this.#shared.nowMs();
    for (const state of this.#idle) {
      if (nowMs - state.idleSinceMs < this.#shared.limits.idleAccountMs) break;
      this.#forget(state);
    }
  }

  /** Forgets all accounts without a session. */
  clear(): void {
    for (const state of this.#idle) this.#forget(state);
  }

  #forget(state: AccountState<HubSession<Context>> | undefined): void {
    if (state === undefined || !this.#idle.delete(state)) return;
    if (this.#audiences.get(state.workspace)?.states.delete(state.account)) this.#accounts--;
    this.#audiences.tidy(state.workspace);
  }

  /**
   * Asks the read model, once for all who want to know. Resolves without knowing when it lags behind the ring; rejects as
   * the dialect does.
   */
  learn(state: AccountState<HubSession<Context>>): Promise<void> {
    state.loading ??= this.#ask(state).finally(() => {
      state.loading = null;
    });
    return state.loading;
  }

  async #ask(state: AccountState<HubSession<Context>>): Promise<void> {
    const since = this.#ring.from;
    const { spans, upTo } = await this.#shared.turns.take(() => this.#load(state, since));
    // What changed since then has to be in the ring.
    if (upTo < this.#ring.from) return;
    state.load(spans, since, upTo);
    for (const { route, position } of this.#changes) {
      if (position <= upTo || route.workspace !== state.workspace) continue;
      const room = route.room as number;
      if (route.joined?.includes(state.account)) state.joined(room, position);
      if (route.left?.includes(state.account) || route.closesRoom === true) state.left(room, position, this.#ring.from);
    }
  }

  /** Those who join see the entry: to be called before it is offered. */
  join({ route, position }: Entry): void {
    const audience = this.#audiences.of(route.workspace);
    const room = route.room as number;
    for (const account of route.joined ?? []) {
      const state = audience.states.get(account);
      if (state?.joined(room, position) !== true) continue;
      for (const session of state.sessions) {
        if (session.live && session.wants(room)) audience.rooms.add(room, session);
      }
    }
  }

  /** Those who leave have seen the entry: to be called when it has been offered. */
  leave(entry: Entry): void {
    const { route, position } = entry;
    const { states } = this.#audiences.of(route.workspace);
    for (const account of route.left ?? []) this.#leave(states.get(account), route.room as number, position);
    if (route.closesRoom === true) {
      for (const state of states.values()) this.#leave(state, route.room as number, position);
    }
    if (route.joined !== undefined || route.left !== undefined || route.closesRoom === true) this.#changes.push(entry);
  }

  #leave(state: AccountState<HubSession<Context>> | undefined, room: number, position: bigint): void {
    if (state === undefined) return;
    state.left(room, position, this.#ring.from);
    for (const session of state.sessions) {
      session.dropExtra(room);
      this.#audiences.get(state.workspace)?.rooms.remove(room, session);
    }
  }

  /** The ring let go of its oldest entry. */
  drop(entry: Entry): void {
    if (this.#changes[0] === entry) this.#changes.shift();
  }
}
