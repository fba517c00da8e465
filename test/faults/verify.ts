/**
 * What a run under faults must have left (design section 3): told from the log itself, from what the server answered, and
 * from what arrived at the providers. Every breach is found and named; none is found where there is none.
 *
 * Exact in time: a send "again" is judged by the moment at which the transaction that recorded the first one committed, by
 * Postgres's own commit timestamp, not by the time that the event carries.
 */
import pg from 'pg';
import { codec, type RecordedEvent } from '../../schemas/index.ts';
import { readCheckpoint } from '../../src/feed/checkpoint.ts';
import type { History } from '../../src/feed/feed.ts';
import { openPostgresLog } from '../../src/log/postgres.ts';
import { compareWithRebuild, projectorGroup } from '../../src/readside/index.ts';
import { type CommandRecord, commandOf } from './ledger.ts';

/** The ways in which a promise can be broken. */
export type BreachKind =
  /** A command that was acknowledged has no effect in the log. */
  | 'lost'
  /** A command, or a key, took effect twice. */
  | 'doubled'
  /** A key was answered with two different ids, or with one that is not the log's. */
  | 'replay'
  /** Positions are not 1, 2, 3, ... up to the head, or revisions not 0, 1, 2, ... */
  | 'gap'
  /** Part of a commit. */
  | 'torn'
  /** Rows differ from those that a rebuild gives, or are behind. */
  | 'projection'
  /** An accepted dispatch never reached its provider. */
  | 'unreached'
  /** A dispatch set out again after its end had been recorded, or under another id. */
  | 'resent'
  /** A send that the log knows nothing of. */
  | 'stranger'
  /** A dispatch that is neither delivered nor failed when all is quiet. */
  | 'unsettled';

/** One breach, in words. */
export interface Breach {
  readonly kind: BreachKind;
  readonly text: string;
}

/** A send as it arrived at a provider. */
export interface Arrival {
  /** From the text; null when there is none in it. */
  readonly number: number | null;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** Null where the provider's API carries none. */
  readonly dispatchId: string | null;
  /** The provider took it. */
  readonly accepted: boolean;
}

/** What is known from outside. */
export interface Evidence {
  readonly commands: readonly CommandRecord[];
  readonly arrivals: readonly Arrival[];
  /** Time between the moment a send sets out and its arrival being noted, at most. */
  readonly inFlightMs: number;
}

/** The result of a verification. */
export interface Verdict {
  /** At most `maxBreaches` of each kind; `counts` has all. */
  readonly breaches: readonly Breach[];
  readonly counts: Readonly<Partial<Record<BreachKind, number>>>;
  readonly events: number;
  readonly accepted: number;
  readonly delivered: number;
  readonly failed: number;
  /** Sends taken by a provider beyond the first of their dispatch: allowed, by "at least once". */
  readonly repeatedSends: number;
  /** Commands without an acknowledgement that took effect all the same: allowed. */
  readonly silentEffects: number;
}

/** Breaches of one kind that are told in full. */
const maxBreaches = 20;
const pageEvents = 5_000;
/**
 * An attempt whose answer was lost leaves a receipt that tells the log of the end, from another process, while the next
 * attempt, which had found none, is on its way through a busy machine.
 */
const receiptRaceMs = 1_000;
/** What opening an account writes, in one commit: the one command of several events, as the load gives it and through ChatAPI. */
const accountCommits: readonly string[] = [
  'AccountOpened,IdentifierAttached,PasswordSet,ProfileChanged',
  'AccountOpened,IdentifierAttached,IdentifierAttached,ProfileChanged,ScopedKeyIssued',
];

interface DispatchTrace {
  readonly number: number;
  readonly dispatch: string;
  /** An attempt of it had no answer, as far as its process knew. */
  deferred: boolean;
  status: 'pending' | 'sent' | 'delivered' | 'failed';
}

/** Judges the events of the whole log, in order, and then the evidence. */
export class Verifier {
  readonly #breaches: Breach[] = [];
  readonly #counts: Partial<Record<BreachKind, number>> = {};
  readonly #revisions = new Map<string, number>();
  readonly #commits = new Set<string>();
  readonly #commit: { id: string; stream: string; types: string[] } = { id: '', stream: '', types: [] };
  /** Streams that hold a command's effect, by number. */
  readonly #effects = new Map<number, { kind: string; stream: string }[]>();
  readonly #dispatches = new Map<string, DispatchTrace>();
  readonly #consecutive: boolean;
  #position = 0n;
  #events = 0;

  /**
   * @param options `consecutive: false`: of a log whose positions only rise, and whose revisions can be taken by what is no
   *   event of ours (EventStoreDB). True unless told.
   */
  constructor({ consecutive = true }: { readonly consecutive?: boolean } = {}) {
    this.#consecutive = consecutive;
  }

  /** How far the projector has got of a log, all of whose events were taken. */
  projected(checkpoint: bigint, head: bigint): void {
    // Where positions only rise, what stands behind the last event is nothing that rows are made of.
    const isThere = this.#consecutive ? checkpoint === head : checkpoint >= this.#position && checkpoint <= head;
    if (!isThere) this.breach('projection', `the projector stands at ${checkpoint} of ${head}`);
  }

  /** Notes a breach that was found elsewhere. */
  breach(kind: BreachKind, text: string): void {
    const count = (this.#counts[kind] ?? 0) + 1;
    this.#counts[kind] = count;
    if (count <= maxBreaches) this.#breaches.push({ kind, text });
  }

  /** The next event of the log. */
  take(event: RecordedEvent): void {
    this.#events++;
    if (this.#consecutive ? event.position !== this.#position + 1n : event.position <= this.#position)
      this.breach('gap', `position ${event.position} follows ${this.#position}`);
    this.#position = event.position;
    const revision = (this.#revisions.get(event.stream) ?? -1) + 1;
    if (this.#consecutive ? event.revision !== revision : event.revision < revision)
      this.breach('gap', `revision ${event.revision} of ${event.stream} stands where ${revision} should`);
    this.#revisions.set(event.stream, event.revision);
    this.#takeIntoCommit(event);
    const command = commandOf(event);
    if (command) {
      const effects = this.#effects.get(command.number);
      const effect = { kind: command.kind, stream: event.stream };
      if (effects) effects.push(effect);
      else this.#effects.set(command.number, [effect]);
    }
    this.#takeIntoDispatch(event, command?.number ?? null);
  }

  #takeIntoCommit({ commitId, index, stream, type }: RecordedEvent): void {
    const commit = this.#commit;
    if (commitId === commit.id) {
      if (index !== commit.types.length || stream !== commit.stream)
        this.breach('torn', `event ${index} of commit ${commitId} follows ${commit.types.length - 1}`);
      commit.types.push(type);
      return;
    }
    this.#endCommit();
    if (index !== 0) this.breach('torn', `commit ${commitId} begins with event ${index}`);
    if (this.#commits.has(commitId)) this.breach('doubled', `commit ${commitId} stands in two places`);
    this.#commits.add(commitId);
    this.#commit.id = commitId;
    this.#commit.stream = stream;
    this.#commit.types = [type];
  }

  #endCommit(): void {
    const { id, types } = this.#commit;
    if (types[0] === 'AccountOpened' && !accountCommits.includes(types.join()))
      this.breach('torn', `commit ${id} opens an account with no more than ${types.join(', ')}`);
  }

  #takeIntoDispatch(event: RecordedEvent, number: number | null): void {
    switch (event.type) {
      case 'DispatchAccepted':
        if (number === null) break;
        this.#dispatches.set(event.data.dispatch, {
          number,
          dispatch: event.data.dispatch,
          deferred: false,
          status: 'pending',
        });
        break;
      case 'DispatchDeferred': {
        const trace = this.#dispatches.get(event.data.dispatch);
        if (trace) trace.deferred = true;
        break;
      }
      case 'DispatchSent':
      case 'DispatchDelivered':
      case 'DispatchFailed': {
        const trace = this.#dispatches.get(event.data.dispatch);
        if (!trace) break;
        if (event.type === 'DispatchDelivered') trace.status = 'delivered';
        else if (event.type === 'DispatchFailed') trace.status = 'failed';
        else if (trace.status === 'pending') trace.status = 'sent';
      }
    }
  }

  /**
   * The judgement, after the last event.
   *
   * @param head the last position of the log
   * @param recordedAt when the first end (sent, delivered, failed) of each dispatch was committed, milliseconds since the epoch
   */
  finish(head: bigint, recordedAt: ReadonlyMap<string, number>, evidence: Evidence): Verdict {
    this.#endCommit();
    if (this.#consecutive ? this.#position !== head : this.#position > head)
      this.breach('gap', `the last event stands at ${this.#position}, the head is ${head}`);
    const silentEffects = this.#judgeCommands(evidence.commands);
    const repeatedSends = this.#judgeArrivals(recordedAt, evidence);
    const ended = { delivered: 0, failed: 0 };
    for (const { status, number } of this.#dispatches.values()) {
      if (status === 'delivered' || status === 'failed') ended[status]++;
      else this.breach('unsettled', `the dispatch of number ${number} is left ${status}`);
    }
    return {
      breaches: this.#breaches,
      counts: this.#counts,
      events: this.#events,
      accepted: this.#dispatches.size,
      ...ended,
      repeatedSends,
      silentEffects,
    };
  }

  /** Each command against its effects; answers how many took effect without an acknowledgement. */
  #judgeCommands(commands: readonly CommandRecord[]): number {
    let silent = 0;
    for (const { number, kind, keyed, acknowledgements, ids } of commands) {
      const effects = this.#effects.get(number) ?? [];
      const what = `${keyed ? 'keyed' : 'plain'} ${kind} ${number}`;
      if (effects.length === 0 && acknowledgements > 0)
        this.breach('lost', `${what} was acknowledged (${ids.join(', ')}) and is not in the log`);
      if (effects.length > 1)
        this.breach(
          'doubled',
          `${what} took effect ${effects.length} times: ${effects.map((e) => e.stream).join(', ')}`,
        );
      if (effects.some((effect) => effect.kind !== kind))
        this.breach('stranger', `${what} is something else in the log`);
      if (ids.length > 1) this.breach('replay', `${what} was answered with ${ids.join(' and ')}`);
      const [id] = ids;
      const [effect] = effects;
      if (kind === 'send' && id !== undefined && effect && `dispatch-${id.replace(/^msg_/, '')}` !== effect.stream)
        this.breach('replay', `${what} was answered with ${id} and stands in ${effect.stream}`);
      if (effects.length > 0 && acknowledgements === 0) silent++;
    }
    for (const [number, effects] of this.#effects)
      if (number < 1 || number > commands.length)
        this.breach('stranger', `${effects[0]?.stream} is of command ${number}, which nobody gave`);
    return silent;
  }

  /** Arrivals against dispatches; answers how many sends a provider took beyond the first. */
  #judgeArrivals(recordedAt: ReadonlyMap<string, number>, { arrivals, inFlightMs }: Evidence): number {
    const byNumber = new Map<number, DispatchTrace>();
    for (const trace of this.#dispatches.values()) byNumber.set(trace.number, trace);
    const reached = new Set<number>();
    const taken = new Set<number>();
    const times = Map.groupBy(arrivals, ({ number }) => number);
    let repeated = 0;
    for (const { number, at, dispatchId, accepted } of arrivals) {
      const trace = number === null ? undefined : byNumber.get(number);
      if (!trace) {
        this.breach('stranger', `a provider got number ${number}, which the log does not know`);
        continue;
      }
      reached.add(trace.number);
      if (dispatchId !== null && dispatchId.replace(/^msg_/, '') !== trace.dispatch)
        this.breach('resent', `number ${number} set out as ${dispatchId}, it is ${trace.dispatch}`);
      const recorded = recordedAt.get(trace.dispatch);
      const allowedMs = inFlightMs + (trace.deferred ? receiptRaceMs : 0);
      if (recorded !== undefined && at > recorded + allowedMs) {
        const others = (times.get(number) ?? []).map((arrival) => Math.round(arrival.at - recorded));
        this.breach(
          'resent',
          `number ${number} (${trace.dispatch}) arrived ${Math.round(at - recorded)} ms after its end was recorded, ` +
            `${allowedMs} are allowed; all its arrivals: ${others.join(', ')}`,
        );
      }
      if (accepted && taken.has(trace.number)) repeated++;
      if (accepted) taken.add(trace.number);
    }
    for (const { number, dispatch } of this.#dispatches.values())
      if (!reached.has(number)) this.breach('unreached', `number ${number} (${dispatch}) never arrived`);
    return repeated;
  }
}

/**
 * Verifies the data of a stopped server.
 *
 * @param url its database, whose server must run with `track_commit_timestamp`
 */
export async function verifyData(url: string, evidence: Evidence): Promise<Verdict> {
  const log = await openPostgresLog({ url, codec });
  try {
    return await verifyLog({ url, log, verifier: new Verifier(), recordedAt: await recordedInPostgres(url) }, evidence);
  } finally {
    await log.close();
  }
}

/** What is verified: a log, and the rows that were made from it. */
export interface Verified {
  /** The database of the rows and checkpoints. */
  readonly url: string;
  readonly log: History;
  readonly verifier: Verifier;
  /** When the end of each dispatch was committed, milliseconds since the epoch. */
  readonly recordedAt: ReadonlyMap<string, number>;
}

/** Verifies a log of any kind, and its rows. Nobody may be writing. */
export async function verifyLog({ url, log, verifier, recordedAt }: Verified, evidence: Evidence): Promise<Verdict> {
  let from = 0n;
  for (;;) {
    const page = await log.page(from, pageEvents);
    for (const event of page.events) verifier.take(event);
    from = page.position;
    if (page.atHead) break;
  }
  const head = await log.head();
  const checkpoint = await projectedTo(url);
  verifier.projected(checkpoint, head);
  for (const { projection, equal, differences } of await compareWithRebuild(url, log))
    if (!equal) verifier.breach('projection', `${projection}: ${differences.join('; ')}`);
  return verifier.finish(head, recordedAt, evidence);
}

/** How far the projector has got. */
async function projectedTo(url: string): Promise<bigint> {
  return asking(url, (client) => readCheckpoint(client, projectorGroup));
}

/** When the end of each dispatch was committed (milliseconds since the epoch), in the log in Postgres. */
export async function recordedInPostgres(url: string): Promise<Map<string, number>> {
  return asking(url, async (client) => {
    const { rows } = await client.query<{ dispatch: string; at: number }>(
      `SELECT substr(stream, length('dispatch-') + 1) AS dispatch,
          min(extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000)::float8 AS at
        FROM log.events WHERE type IN ('DispatchSent', 'DispatchDelivered', 'DispatchFailed') GROUP BY stream`,
    );
    return new Map(rows.map(({ dispatch, at }) => [dispatch, at]));
  });
}

async function asking<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
