import { type EventData, event } from '../../schemas/index.ts';
import type { Aggregate } from './aggregate.ts';
import { given } from './changes.ts';
import { DomainError } from './errors.ts';

/** What is known of a webhook: an endpoint that a workspace's events are posted to. */
export interface WebhookState {
  readonly exists: boolean;
  readonly workspace: number;
  readonly webhook: number;
  readonly url: string;
  readonly events: readonly string[];
  readonly sealedSecret: string;
  readonly headerNames: readonly string[];
  readonly sealedHeaders: string | null;
  readonly roomFilters: readonly number[];
  readonly meta: Readonly<Record<string, unknown>> | null;
  readonly isActive: boolean;
  /** How often it was made active again. */
  readonly activation: number;
  /** The last replay's number. */
  readonly lastReplay: number;
  /** Replays under way, by number. */
  readonly replays: readonly EventData<'WebhookReplayRequested'>[];
  readonly createdAt: number;
  readonly updatedAt: number;
}

type Ref = { readonly workspace: number; readonly webhook: number };

/** Commands of a webhook. */
export type WebhookCommand =
  | ({ readonly command: 'CreateWebhook' } & EventData<'WebhookCreated'>)
  | ({ readonly command: 'ChangeWebhook'; readonly isActive?: boolean } & EventData<'WebhookChanged'>)
  | ({ readonly command: 'DeactivateFailing'; readonly activation: number } & Ref)
  | ({ readonly command: 'DeleteWebhook' } & Ref)
  | ({ readonly command: 'RequestReplay' } & Omit<EventData<'WebhookReplayRequested'>, 'replay'>)
  | ({ readonly command: 'FinishReplay'; readonly replay: number } & Ref)
  | ({ readonly command: 'RedriveDelivery'; readonly delivery: string } & Ref);

/** Limits of one webhook. */
export const webhookLimits = {
  urlCharacters: 2_048,
  headers: 32,
  /** Of a name and of a value. */
  headerCharacters: 4_096,
  roomFilters: 1_000,
  secretCharacters: 1_024,
  /** Replays under way at once. */
  replays: 5,
} as const;

/** Headers that a webhook cannot set: what HTTP needs for itself, and what is ours (ChatAPI sheet, section 13). */
const ownHeaders =
  /^(?:host|content-.*|transfer-encoding|connection|keep-alive|proxy-.*|te|trailer|upgrade|expect|http2-settings|webhook-.*|x-chatapi-.*)$/;

/** A value that is refused: `details` name the field, the text tells why. */
function invalid(field: string, message: string): DomainError {
  return new DomainError('value-invalid', message, { details: { field } });
}

/**
 * Judges a URL's text. `forbids` says which hosts are refused whatever the DNS says. Throws DomainError `value-invalid`, of
 * the field that holds it.
 */
export function checkUrl(url: string, forbids: (host: string) => boolean, field = 'url'): void {
  if (url.length > webhookLimits.urlCharacters) throw invalid(field, `longer than ${webhookLimits.urlCharacters}`);
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed?.protocol !== 'http:' && parsed?.protocol !== 'https:') throw invalid(field, 'not an http(s) URL');
  if (parsed.username !== '' || parsed.password !== '') throw invalid(field, 'user info is not allowed');
  if (forbids(parsed.hostname)) throw invalid(field, 'the target is not allowed');
}

/** Judges a list of events. Throws DomainError `value-invalid`. */
export function checkEvents(events: readonly string[], known: ReadonlySet<string>): void {
  if (events.length === 0) throw invalid('events', 'at least one event is needed');
  if (new Set(events).size < events.length) throw invalid('events', 'an event is named twice');
  const unknown = events.find((name) => !known.has(name));
  if (unknown !== undefined) throw invalid('events', `unknown event: ${unknown.slice(0, 100)}`);
}

/** Judges headers by name (RFC 9110, section 5.6.2) and value. Throws DomainError `value-invalid`. */
export function checkHeaders(headers: Readonly<Record<string, string>>): void {
  const names = Object.keys(headers);
  if (names.length > webhookLimits.headers) throw invalid('custom_headers', `more than ${webhookLimits.headers}`);
  if (new Set(names.map((name) => name.toLowerCase())).size < names.length)
    throw invalid('custom_headers', 'a header is named twice');
  for (const [name, value] of Object.entries(headers)) {
    const most = webhookLimits.headerCharacters;
    if (name.length > most || value.length > most) throw invalid('custom_headers', `longer than ${most}`);
    if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name)) throw invalid('custom_headers', 'not the name of a header');
    if (ownHeaders.test(name.toLowerCase())) throw invalid('custom_headers', `${name} cannot be set`);
    // Printable ASCII, blanks within: no line can end here, and no two readers can take it for different bytes.
    if (!/^(?:[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?$/.test(value))
      throw invalid('custom_headers', `the value of ${name} is not printable ASCII`);
  }
}

/** Judges a secret given. Throws DomainError `value-invalid`. */
export function checkSecret(secret: string): void {
  if (secret === '') throw invalid('secret', 'empty');
  if (secret.length > webhookLimits.secretCharacters)
    throw invalid('secret', `longer than ${webhookLimits.secretCharacters}`);
}

/** How many failures in a row, and when the count rose last (milliseconds since the epoch). */
export interface Failures {
  readonly count: number;
  readonly at: number | null;
}

/** The count of failures rises by at most one in this time. */
const failureStepMs = 30_000;
/** At this count a webhook is switched off. */
export const maxFailures = 5;

/** The count after an attempt that ended at `at` (ChatAPI sheet, section 13): any 2xx sets it back. */
export function afterAttempt(failures: Failures, ok: boolean, at: number, stepMs = failureStepMs): Failures {
  if (ok) return failures.count === 0 ? failures : { count: 0, at: failures.at };
  if (failures.at !== null && at - failures.at < stepMs) return failures;
  return { count: failures.count + 1, at };
}

/** The rules of webhooks: a deleted one does not exist. */
export const webhook: Aggregate<WebhookState, WebhookCommand> = {
  initial: {
    exists: false,
    workspace: 0,
    webhook: 0,
    url: '',
    events: [],
    sealedSecret: '',
    headerNames: [],
    sealedHeaders: null,
    roomFilters: [],
    meta: null,
    isActive: false,
    activation: 0,
    lastReplay: 0,
    replays: [],
    createdAt: 0,
    updatedAt: 0,
  },

  decide(state, command) {
    if (command.command === 'CreateWebhook') {
      if (state.exists) throw new DomainError('already-exists');
      const { command: _, ...data } = command;
      if (data.roomFilters.length > webhookLimits.roomFilters) throw tooManyRooms();
      return [event('WebhookCreated', data)];
    }
    if (!state.exists) throw new DomainError('not-found');
    const { workspace, webhook: number } = command;
    const ref = { workspace, webhook: number };
    switch (command.command) {
      case 'ChangeWebhook': {
        const { command: _, isActive, ...data } = command;
        if ((data.roomFilters?.length ?? 0) > webhookLimits.roomFilters) throw tooManyRooms();
        return [
          ...(Object.keys(data).length > Object.keys(ref).length ? [event('WebhookChanged', data)] : []),
          ...(isActive === true && !state.isActive ? [event('WebhookActivated', ref)] : []),
          ...(isActive === false && state.isActive
            ? [event('WebhookDeactivated', { ...ref, reason: 'requested' as const })]
            : []),
        ];
      }
      case 'DeactivateFailing':
        // Somebody made it active again since: those failures do not count any more.
        if (!state.isActive || state.activation !== command.activation) return [];
        return [event('WebhookDeactivated', { ...ref, reason: 'failing' })];
      case 'DeleteWebhook':
        return [event('WebhookDeleted', ref)];
      case 'RequestReplay': {
        const { command: _, ...data } = command;
        if ((data.from === null) === (data.since === null))
          throw invalid('from_position', 'either a position or a time is needed');
        if (state.replays.length >= webhookLimits.replays)
          throw new DomainError('replays-under-way', `${webhookLimits.replays} replays are under way already`);
        return [event('WebhookReplayRequested', { ...data, replay: state.lastReplay + 1 })];
      }
      case 'FinishReplay':
        if (!state.replays.some(({ replay }) => replay === command.replay)) return [];
        return [event('WebhookReplayFinished', { ...ref, replay: command.replay })];
      case 'RedriveDelivery':
        return [event('WebhookDeliveryRedriven', { ...ref, delivery: command.delivery })];
    }
  },

  evolve(state, happened) {
    const { at } = happened;
    switch (happened.type) {
      case 'WebhookCreated':
        return { ...state, ...happened.data, exists: true, isActive: true, createdAt: at, updatedAt: at };
      case 'WebhookChanged':
        return { ...state, ...given(happened.data), updatedAt: at };
      case 'WebhookActivated':
        return { ...state, isActive: true, activation: state.activation + 1, updatedAt: at };
      case 'WebhookDeactivated':
        return { ...state, isActive: false, updatedAt: at };
      case 'WebhookDeleted':
        return { ...webhook.initial, workspace: state.workspace, webhook: state.webhook };
      case 'WebhookReplayRequested':
        return { ...state, lastReplay: happened.data.replay, replays: [...state.replays, happened.data] };
      case 'WebhookReplayFinished':
        return { ...state, replays: state.replays.filter(({ replay }) => replay !== happened.data.replay) };
      default:
        return state;
    }
  },
};

function tooManyRooms(): DomainError {
  return invalid('room_filters', `more than ${webhookLimits.roomFilters}`);
}
