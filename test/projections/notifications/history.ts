/**
 * Random histories of notifications of two workspaces, as the domain's rules allow them, deleted with their workspace and
 * erased. A seed gives the same history again.
 */
import { type DomainEvent, event, type RecordedEvent } from '../../../schemas/index.ts';
import { streams } from '../../../src/commands/streams.ts';
import {
  type NotificationCommand,
  type NotificationState,
  notification as rules,
  defaultNotificationSchedule as schedule,
} from '../../../src/domain/notification.ts';
import { decided } from '../../domain/given.ts';
import type { ErasableHistory } from '../erasing.ts';
import { type Random, randomOf, recordedFrom, type Step } from '../history.ts';

/** A notification as the history knows it. */
export interface KnownNotification {
  readonly id: string;
  state: NotificationState;
  erased: boolean;
}

const workspaces = [11, 12];

/** Makes a history, step by step. */
export class NotificationHistory implements ErasableHistory {
  readonly steps: Step[] = [];
  readonly erasable: string[] = [];
  readonly notifications: KnownNotification[] = [];
  readonly #random: Random;
  readonly #revisions = new Map<string, number>();
  readonly #deleted = new Set<number>();
  /** The last hours of a month, so that days change on the way. */
  at = Date.UTC(2026, 0, 30, 21);
  #serial = 0;

  constructor(random: Random) {
    this.#random = random;
    for (const workspace of workspaces)
      this.#append(
        streams.workspace(workspace),
        event('WorkspaceOpened', { workspace, kind: 'client', owner: null, name: 'Client', description: null }),
      );
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)] as T;
  }

  #append(stream: string, ...events: DomainEvent[]): void {
    this.at += Math.floor(this.#random() * 900_000);
    const expected = this.#revisions.get(stream) ?? -1;
    this.steps.push({ stream, expected, events, at: this.at });
    this.#revisions.set(stream, expected + events.length);
  }

  step(): void {
    const roll = this.#random();
    if (roll < 0.3) this.#accept();
    else if (roll < 0.97) this.#progress();
    else if (roll < 0.985) this.erase(this.#pick(workspaces), 3);
    else this.#delete(this.#pick(workspaces));
  }

  #accept(): void {
    const workspace = this.#pick(workspaces);
    if (this.#deleted.has(workspace)) return;
    const id = `n${String(Math.floor(this.#random() * 1e6)).padStart(6, '0')}${this.#serial++}`;
    const type = this.#pick(['email', 'websocket', 'webhook'] as const);
    const mail = { to: [`${id}@example.com`], cc: [], bcc: [], from: null, replyTo: null };
    const provider = this.#random() < 0.2 ? { type: 'smtp', sealed: 'sealed' } : null;
    const command: NotificationCommand = {
      command: 'AcceptNotification',
      workspace,
      notification: id,
      room: type === 'websocket' ? this.#pick([1, 2]) : null,
      type,
      subject: `subject of ${id}\0`,
      content: `content of ${id}`,
      email: type === 'email' ? mail : null,
      fallback: type === 'websocket' ? { ...mail, enabled: true, subject: null, content: null } : null,
      recipients: type === 'webhook' ? [`https://${id}.example/`] : [],
      priority: this.#pick(['low', 'normal', 'high', 'urgent'] as const),
      scheduledFor: this.#random() < 0.2 ? this.at + 86_400_000 : null,
      provider,
      maxRetries: this.#pick([0, 1, 3]),
      meta: this.#random() < 0.5 ? { of: id } : null,
      now: 0,
    };
    const known = { id, state: rules.initial, erased: false };
    this.notifications.push(known);
    this.#execute(known, command);
  }

  #progress(): void {
    const known = this.#pick(this.notifications.slice(-10));
    // What was erased may get one more event before its stream is closed.
    if (!known || (known.erased && this.#random() < 0.7)) return;
    const now = this.at + 90_000_000;
    const { state } = known;
    const toRoom = state.type === 'websocket';
    const fell = toRoom && this.#random() < 0.5;
    const channel = fell ? ('email' as const) : state.type;
    const error = this.#random() < 0.5 ? `no\0 to ${known.id}` : null;
    const target = state.recipients[0] ?? null;
    const attempt = { channel, provider: 'p', externalId: `x${known.id}`, target, at: this.at, tookMs: 3, error };
    const round = {
      attempts: [attempt],
      fallback: fell ? ('no_online_users' as const) : null,
      shown: toRoom && !fell && error === null,
      open: error === null ? [] : ['somebody@example.com'],
      error,
      next: this.#pick(['again', 'later', 'never'] as const),
      retryAfterMs: null,
    };
    const start = { command: 'StartNotification' as const, now };
    this.#execute(
      known,
      this.#pick<NotificationCommand>([
        start,
        start,
        { command: 'RecordRound', before: state.attempts, round, now, schedule },
        { command: 'RecordRound', before: state.attempts, round, now, schedule },
        { command: 'ChangeNotification', subject: `changed ${known.id}`, priority: 'urgent', now: 0 },
        { command: 'ChangeNotification', scheduledFor: this.at + 1_000, provider: null, meta: null, now: 0 },
        { command: 'CancelNotification' },
        { command: 'StopNotification', error: `stopped ${known.id}` },
        { command: 'RetryNotification' },
      ]),
    );
  }

  #execute(known: KnownNotification, command: NotificationCommand): void {
    const events = decided(rules, known.state, command);
    if (typeof events === 'string' || events.length === 0) return;
    this.#append(streams.notification(known.id), ...events);
    for (const happened of events) known.state = rules.evolve(known.state, { ...happened, at: this.at });
  }

  #delete(workspace: number): void {
    if (this.#deleted.has(workspace)) return;
    this.#deleted.add(workspace);
    this.#append(streams.workspace(workspace), event('WorkspaceDeleted', { workspace, owner: null }));
  }

  /** Erases notifications of a workspace. */
  erase(workspace: number, most: number): void {
    const page = this.notifications.filter(({ state, erased }) => state.workspace === workspace && !erased);
    for (const known of page.slice(0, most)) {
      const { room, type, status, priority, leavesBy, acceptedAt } = known.state;
      const ref = { workspace, notification: known.id, room, type, priority };
      const stream = streams.notification(known.id);
      known.erased = true;
      this.#append(
        streams.erasure(stream),
        event('NotificationErased', {
          ...ref,
          status: status === 'none' ? 'pending' : status,
          fallback: leavesBy,
          createdAt: acceptedAt,
        }),
      );
      this.erasable.push(stream);
    }
  }

  eraseEverything(): void {
    for (const workspace of workspaces) {
      this.#delete(workspace);
      this.erase(workspace, Number.POSITIVE_INFINITY);
    }
  }

  recorded(): RecordedEvent[] {
    return recordedFrom(this.steps);
  }
}

/** A history of `length` steps. */
export function makeNotifications(seed: number, length: number): NotificationHistory {
  const maker = new NotificationHistory(randomOf(seed));
  for (let i = 0; i < 20; i++) maker.step();
  maker.erase(11, 1);
  maker.erase(12, 1);
  for (let i = 20; i < length; i++) maker.step();
  return maker;
}
