/**
 * Random histories that the domain's rules allow: projects with keys, connectors, templates and dispatches that live,
 * are deleted and are erased. A seed gives the same history again.
 */
import { type DomainEvent, event, type RecordedEvent } from '../../schemas/index.ts';
import { streams } from '../../src/commands/streams.ts';
import { type DispatchState, dispatch as dispatchRules } from '../../src/domain/dispatch.ts';

export type Random = () => number;

/** Random numbers in [0, 1) that a seed repeats (mulberry32). */
export function randomOf(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const types = ['whatsapp', 'telegram', 'twilio'] as const;
type ConnectorType = (typeof types)[number];

/** A dispatch as the history knows it. */
export interface KnownDispatch {
  readonly dispatch: string;
  readonly workspace: number;
  readonly owner: { workspace: number; account: number };
  readonly key: number;
  readonly connector: number;
  readonly connectorType: ConnectorType;
  readonly template: number;
  readonly createdAt: number;
  state: DispatchState;
  due: number | null;
  sentAt: number | null;
  deliveredAt: number | null;
  erased: boolean;
}

interface Project {
  readonly workspace: number;
  readonly owner: { workspace: number; account: number };
  readonly createdAt: number;
  deleted: boolean;
  erased: boolean;
  readonly keys: Thing[];
  readonly connectors: (Thing & { readonly type: ConnectorType })[];
  readonly templates: (Thing & { readonly type: ConnectorType })[];
  /** Counted like the allocator does: never again below. */
  highest: number;
}

interface Thing {
  readonly id: number;
  deleted: boolean;
  erased: boolean;
}

/** Events of one commit to one stream. */
export interface Step {
  readonly stream: string;
  /** Revision of the stream before. */
  readonly expected: number;
  readonly events: readonly DomainEvent[];
  readonly at: number;
}

/** Makes a history, step by step. */
export class HistoryMaker {
  readonly steps: Step[] = [];
  /** Streams whose event "erased" was appended: their content may be blanked from here on. */
  readonly erasable: string[] = [];
  readonly dispatches: KnownDispatch[] = [];
  readonly projects: Project[] = [];
  readonly accounts: number[] = [];
  readonly #random: Random;
  readonly #revisions = new Map<string, number>();
  /** The last hours of a month, so that days and months change on the way. */
  at = Date.UTC(2026, 0, 30, 21);
  #serial = 0;

  constructor(random: Random) {
    this.#random = random;
    this.#openAccount();
    this.#openProject();
  }

  #chance(share: number): boolean {
    return this.#random() < share;
  }

  #pick<T>(from: readonly T[]): T | undefined {
    return from[Math.floor(this.#random() * from.length)];
  }

  #append(stream: string, ...events: DomainEvent[]): void {
    this.at += Math.floor(this.#random() * 900_000);
    const expected = this.#revisions.get(stream) ?? -1;
    this.steps.push({ stream, expected, events, at: this.at });
    this.#revisions.set(stream, expected + events.length);
  }

  /** One more thing that happens. */
  step(): void {
    const roll = this.#random();
    if (roll < 0.38) this.#accept();
    else if (roll < 0.72) this.#progress();
    else if (roll < 0.76) this.#accountStep();
    else if (roll < 0.86) this.#projectStep();
    else if (roll < 0.89) this.#holdReceipt();
    else if (roll < 0.93) this.#deleteThing();
    else if (roll < 0.99) this.#eraseThing();
    else this.#deleteProject();
  }

  #openAccount(): void {
    const account = this.accounts.length + 1;
    this.accounts.push(account);
    const ref = { workspace: 1, account };
    const email = { ...ref, kind: 'email' as const, value: `Account${account}@Example.com` };
    this.#append(
      streams.account(1, account),
      event('AccountOpened', { ...ref, kind: 'person' }),
      event('IdentifierAttached', email),
    );
  }

  #accountStep(): void {
    if (this.#chance(0.2)) {
      this.#openAccount();
      return;
    }
    const account = this.#pick(this.accounts) as number;
    const ref = { workspace: 1, account };
    const roll = this.#random();
    if (roll < 0.3) this.#append(streams.account(1, account), event('TierChanged', { ...ref, tier: 'pro' }));
    else if (roll < 0.5) {
      const displayName = this.#chance(0.3) ? null : `Name ${this.#serial++}\0`;
      this.#append(streams.account(1, account), event('ProfileChanged', { ...ref, displayName }));
    } else {
      const session = `s${this.#serial++}`;
      const started = { ...ref, session, refreshHash: 'h', expiresAt: this.at, login: this.#chance(0.7) };
      this.#append(streams.session(session), event('SessionStarted', started));
    }
  }

  #openProject(): void {
    const workspace = 10 + this.projects.length;
    const owner = { workspace: 1, account: this.#pick(this.accounts) as number };
    const name = `Project ${workspace}`;
    this.#append(
      streams.workspace(workspace),
      event('WorkspaceOpened', { workspace, kind: 'project', owner, name, description: null }),
    );
    const things = { keys: [], connectors: [], templates: [] };
    this.projects.push({ workspace, owner, createdAt: this.at, deleted: false, erased: false, ...things, highest: 0 });
  }

  #living(): Project | undefined {
    return this.#pick(this.projects.filter((project) => !project.deleted));
  }

  #projectStep(): void {
    if (this.#chance(0.15)) {
      this.#openProject();
      return;
    }
    const project = this.#living();
    if (!project) return;
    const { workspace } = project;
    const roll = this.#random();
    if (roll < 0.25) {
      const description = this.#chance(0.5) ? null : 'described';
      this.#append(streams.workspace(workspace), event('WorkspaceChanged', { workspace, description }));
    } else if (roll < 0.5) this.#newKey(project);
    else if (roll < 0.75) this.#connectorStep(project);
    else this.#templateStep(project);
  }

  #newKey(project: Project): Thing {
    const thing = { id: ++project.highest, deleted: false, erased: false };
    const { workspace } = project;
    const expiresAt = this.#chance(0.5) ? null : this.at + 1_234;
    const data = {
      workspace,
      key: thing.id,
      name: `Key ${thing.id}`,
      mode: 'live' as const,
      secretHash: 'x',
      rateLimit: 5,
      expiresAt,
    };
    this.#append(streams.key(workspace, thing.id), event('KeyIssued', data));
    project.keys.push(thing);
    return thing;
  }

  #connectorStep(project: Project): Thing & { type: ConnectorType } {
    const { workspace } = project;
    const known = this.#pick(project.connectors.filter((connector) => !connector.deleted));
    if (known && this.#chance(0.5)) {
      const change = this.#chance(0.5) ? { isActive: this.#chance(0.5) } : { senderHash: null };
      this.#append(
        streams.connector(workspace, known.id),
        event('ConnectorChanged', { workspace, connector: known.id, ...change }),
      );
      return known;
    }
    const made = { id: ++project.highest, type: this.#pick(types) as ConnectorType, deleted: false, erased: false };
    const data = {
      workspace,
      connector: made.id,
      connectorType: made.type,
      name: 'C',
      sealed: 's',
      senderHash: `sender${made.id % 3}`,
    };
    this.#append(streams.connector(workspace, made.id), event('ConnectorCreated', data));
    project.connectors.push(made);
    return made;
  }

  #templateStep(project: Project): Thing & { type: ConnectorType } {
    const { workspace } = project;
    const known = this.#pick(project.templates.filter((template) => !template.deleted));
    if (known && this.#chance(0.5)) {
      const change = this.#chance(0.5) ? { content: 'new' } : { variables: ['a\0', '\ud800'], isActive: false };
      this.#append(
        streams.template(workspace, known.id),
        event('TemplateChanged', { workspace, template: known.id, ...change }),
      );
      return known;
    }
    const made = { id: ++project.highest, type: this.#pick(types) as ConnectorType, deleted: false, erased: false };
    const data = {
      workspace,
      template: made.id,
      connectorType: made.type,
      name: 'T',
      content: 'Hi {{n}}',
      variables: ['n'],
    };
    this.#append(streams.template(workspace, made.id), event('TemplateCreated', data));
    project.templates.push(made);
    return made;
  }

  #accept(): void {
    const project = this.#living();
    if (!project) {
      this.#openProject();
      return;
    }
    const key = this.#pick(project.keys) ?? this.#newKey(project);
    const connector = this.#pick(project.connectors) ?? this.#connectorStep(project);
    const template = this.#pick(project.templates) ?? this.#templateStep(project);
    const dispatch = `msg_${String(Math.floor(this.#random() * 1e9)).padStart(9, '0')}${this.#serial++}`;
    const { workspace, owner } = project;
    const ids = {
      dispatch,
      workspace,
      owner,
      key: key.id,
      connector: connector.id,
      connectorType: connector.type,
      template: template.id,
    };
    this.#append(
      streams.dispatch(dispatch),
      event('DispatchAccepted', { ...ids, to: '+123', text: `text of ${dispatch}\0` }),
    );
    const accepted = this.steps.at(-1)?.events[0] as DomainEvent;
    const state = dispatchRules.evolve(dispatchRules.initial, { ...accepted, at: this.at });
    this.dispatches.push({
      ...ids,
      createdAt: this.at,
      state,
      due: this.at,
      sentAt: null,
      deliveredAt: null,
      erased: false,
    });
  }

  #progress(): void {
    const known = this.#pick(this.dispatches.slice(-12));
    // What was erased may get one more event before its stream is closed.
    if (!known || (known.erased && this.#chance(0.7))) return;
    const now = this.at;
    const attempt = known.state.attempt + 1;
    const externalId = `ext${this.#serial++ % 20}`;
    const command = this.#pick([
      { command: 'RecordSent' as const, externalId, sentAt: now, attempt, delivered: this.#chance(0.3) },
      { command: 'RecordDeferred' as const, attempt, retryAt: now + 5_000, error: 'later\0' },
      { command: 'RecordFailed' as const, error: 'no', attempt },
      { command: 'RecordReceipt' as const, status: 'sent' as const, externalId, error: null, now },
      { command: 'RecordReceipt' as const, status: 'delivered' as const, externalId, error: null, now },
      { command: 'RecordReceipt' as const, status: 'failed' as const, externalId, error: null, now },
    ]);
    if (!command) return;
    const events = dispatchRules.decide(known.state, command);
    if (events.length === 0) return;
    this.#append(streams.dispatch(known.dispatch), ...events);
    for (const happened of events) {
      known.state = dispatchRules.evolve(known.state, { ...happened, at: this.at });
      if (known.erased) continue;
      if (happened.type === 'DispatchSent') known.sentAt = happened.data.sentAt;
      if (happened.type === 'DispatchDelivered') known.deliveredAt = happened.data.deliveredAt;
      if (happened.type === 'DispatchDeferred') known.due = happened.data.retryAt;
      if (known.state.status !== 'pending') known.due = null;
    }
  }

  #holdReceipt(): void {
    const id = `r${this.#serial++}`;
    const hashes = { externalHash: `x${this.#serial % 5}`, senderHash: this.#chance(0.5) ? null : 'sender1' };
    const data = {
      connectorType: 'whatsapp' as const,
      ...hashes,
      status: 'delivered' as const,
      error: null,
      receivedAt: this.at,
    };
    this.#append(streams.heldReceipt(id), event('ReceiptHeld', data));
  }

  #deleteThing(): void {
    const project = this.#living();
    if (!project) return;
    const { workspace } = project;
    const kind = this.#pick(['keys', 'connectors', 'templates'] as const) ?? 'keys';
    const thing = this.#pick<Thing>(project[kind].filter((each) => !each.deleted));
    if (!thing) return;
    thing.deleted = true;
    const { id } = thing;
    if (kind === 'keys') this.#append(streams.key(workspace, id), event('KeyRevoked', { workspace, key: id }));
    else if (kind === 'connectors')
      this.#append(streams.connector(workspace, id), event('ConnectorDeleted', { workspace, connector: id }));
    else this.#append(streams.template(workspace, id), event('TemplateDeleted', { workspace, template: id }));
  }

  #deleteProject(): void {
    const project = this.#living();
    if (!project) return;
    project.deleted = true;
    const { workspace, owner } = project;
    this.#append(streams.workspace(workspace), event('WorkspaceDeleted', { workspace, owner }));
  }

  #erased(stream: string, erased: DomainEvent): void {
    this.#append(streams.erasure(stream), erased);
    this.erasable.push(stream);
  }

  #eraseThing(): void {
    const project = this.#pick(this.projects);
    if (!project) return;
    const roll = this.#random();
    if (roll < 0.4) this.eraseDispatches(project.workspace, 1 + Math.floor(this.#random() * 4));
    else this.#eraseThings(project, (thing) => (thing.deleted || project.deleted) && this.#chance(0.5));
  }

  #eraseThings(project: Project, which: (thing: Thing) => boolean): void {
    const { workspace } = project;
    for (const kind of ['keys', 'connectors', 'templates'] as const) {
      for (const thing of project[kind]) {
        if (thing.erased || !which(thing)) continue;
        thing.erased = true;
        const { id } = thing;
        const connectorType = 'type' in thing ? (thing.type as ConnectorType) : 'whatsapp';
        if (kind === 'keys') this.#erased(streams.key(workspace, id), event('KeyErased', { workspace, key: id }));
        else if (kind === 'connectors') {
          this.#erased(
            streams.connector(workspace, id),
            event('ConnectorErased', { workspace, connector: id, connectorType }),
          );
        } else
          this.#erased(
            streams.template(workspace, id),
            event('TemplateErased', { workspace, template: id, connectorType }),
          );
      }
    }
  }

  /** Appends one page of erasures of a workspace's dispatches; the statuses it tells may be a little old. */
  eraseDispatches(workspace: number, limit: number): void {
    const page = this.dispatches.filter((known) => known.workspace === workspace && !known.erased).slice(0, limit);
    if (page.length === 0) return;
    const items = page.map((known) => {
      const { dispatch, owner, key, connector, connectorType, template, createdAt, sentAt, deliveredAt, state } = known;
      const status = state.status === 'none' ? 'pending' : state.status;
      return { dispatch, owner, key, connector, connectorType, template, createdAt, sentAt, deliveredAt, status };
    });
    this.#append(`erased-page-${workspace}-${this.#serial++}`, event('DispatchesErased', { workspace, items }));
    for (const known of page) {
      known.erased = true;
      known.due = null;
      this.erasable.push(streams.dispatch(known.dispatch));
    }
  }

  /** Deletes and erases everything that can be. */
  eraseEverything(): void {
    while (this.projects.some((project) => !project.deleted)) this.#deleteProject();
    for (const project of this.projects) {
      const { workspace, owner, createdAt } = project;
      this.#eraseThings(project, () => true);
      this.eraseDispatches(workspace, Number.POSITIVE_INFINITY);
      if (project.erased) continue;
      project.erased = true;
      this.#erased(
        streams.workspace(workspace),
        event('WorkspaceErased', { workspace, kind: 'project', owner, createdAt }),
      );
    }
  }

  /** The history as a log gives it. */
  recorded(): RecordedEvent[] {
    return recordedFrom(this.steps);
  }
}

/** Steps as a log gives their events. */
export function recordedFrom(steps: readonly Step[]): RecordedEvent[] {
  let position = 0n;
  return steps.flatMap(({ stream, expected, events, at }, number) =>
    events.map((happened, index) => {
      const place = { position: ++position, stream, revision: expected + 1 + index, commitId: `c${number}`, index, at };
      return { ...happened, ...place, meta: {} } as RecordedEvent;
    }),
  );
}

/** A history of `length` steps. */
export function makeHistory(seed: number, length: number): HistoryMaker {
  const maker = new HistoryMaker(randomOf(seed));
  for (let i = 0; i < length; i++) maker.step();
  return maker;
}
