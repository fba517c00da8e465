import { DomainError, type EmailProvider, mailOf, type NotificationState, type Round } from '../../commands/index.ts';
import { BoundedMap } from '../../platform/bounded-map.ts';
import { type Candidate, type Choice, chooseProvider, type EmailMessage, type EmailResult } from '../email/index.ts';
import { TokenBucket } from '../pacing.ts';
import type { NotificationsOptions } from './index.ts';

/** What sending mails needs. */
export type MailsOptions = Pick<NotificationsOptions, 'email' | 'providersOf' | 'commands' | 'clock'> & {
  readonly attemptTimeoutMs: number;
};

type Mail = NonNullable<ReturnType<typeof mailOf>>;

/** One of a tenant's providers, and its pace. */
interface Way {
  readonly provider: EmailProvider;
  readonly pace: TokenBucket | null;
}

/** A turn in the pace of a provider of some type; null where there is none to take. */
export interface Turn {
  /** How long to wait for one; 0 when it was taken. */
  readonly waitMs: number;
  readonly by: EmailProvider['provider_config']['provider_type'] | null;
}

/** What came of the mails of a round. */
export type MailRound = Omit<Round, 'fallback' | 'shown'>;

/** Paces that are remembered. */
const maxPaces = 10_000;

/** Sends the mails of notifications. */
export class Mails {
  readonly #options: MailsOptions;
  /** Of stored providers, by workspace, type and rate. */
  readonly #paces = new BoundedMap<string, TokenBucket>(maxPaces);

  constructor(options: MailsOptions) {
    this.#options = options;
  }

  /** Takes a turn in the pace of the provider that the mail of a notification goes by; or says how long to wait for one. */
  async takeTurn(state: NotificationState): Promise<Turn> {
    const mail = mailOf(state);
    const ways = mail ? await this.#waysOf(state) : [];
    const choice = choose(ways, mail ? addressesOf(mail, state.open).length : 0, this.#now());
    if (choice.kind === 'none') return { waitMs: 0, by: null };
    if (choice.waitMs > 0) return { waitMs: choice.waitMs, by: null };
    const { provider, pace } = ways[choice.index] as Way;
    pace?.take(this.#now());
    return { waitMs: 0, by: provider.provider_config.provider_type };
  }

  /** One round: the provider that a turn was taken of, or the chosen one, and, where that fails, one other. */
  async send(state: NotificationState, turn: Turn['by']): Promise<MailRound> {
    const mail = mailOf(state);
    if (!mail) return { attempts: [], open: [], error: 'There is no email to send', next: 'never', retryAfterMs: null };
    const ways = await this.#waysOf(state);
    const rounds: MailRound[] = [];
    for (const [i, part] of partsOf(mail, state.open).entries())
      rounds.push(await this.#sendPart(state, part, ways, i === 0 ? turn : null));
    return together(rounds);
  }

  async #sendPart(state: NotificationState, mail: Mail, ways: readonly Way[], turn: Turn['by']): Promise<MailRound> {
    const open = addressesOf(mail, null);
    const taken = ways.findIndex(({ provider }) => provider.provider_config.provider_type === turn);
    const first = taken >= 0 ? taken : choose(ways, open.length, this.#now());
    if (typeof first !== 'number' && first.kind === 'none')
      return { attempts: [], open, error: first.reason, next: 'never', retryAfterMs: null };
    if (typeof first !== 'number' && first.waitMs > 0) {
      const error = "Waiting for the email provider's rate limit";
      return { attempts: [], open, error, next: 'later', retryAfterMs: first.waitMs };
    }
    const index = typeof first === 'number' ? first : first.index;
    const way = ways[index] as Way;
    if (typeof first !== 'number') way.pace?.take(this.#now());
    const round = await this.#attempt(state, mail, way);
    // Where some have got it, the others are tried again alone.
    if (round.error === null || round.open.length < open.length) return round;
    const other = choose(ways, open.length, this.#now(), new Set([index]));
    if (other.kind === 'none' || other.waitMs > 0) return round;
    const second = ways[other.index] as Way;
    second.pace?.take(this.#now());
    return joined(round, await this.#attempt(state, mail, second), open.length);
  }

  async #attempt(state: NotificationState, mail: Mail, { provider }: Way): Promise<MailRound> {
    const { email, clock, attemptTimeoutMs } = this.#options;
    const { provider_config: config, default_from_email: address, default_from_name: name } = provider;
    const message: EmailMessage = {
      id: state.notification,
      from: mail.from === null ? { address, name: name ?? null } : { address: mail.from },
      replyTo: mail.replyTo,
      to: mail.to,
      cc: mail.cc,
      bcc: mail.bcc,
      subject: mail.subject ?? '',
      content: mail.content,
    };
    const [at, began] = [clock.now(), this.#now()];
    const result = await email.send(message, config, { timeoutMs: attemptTimeoutMs });
    const ended = endOf(result, addressesOf(mail, null));
    const attempt = {
      channel: 'email' as const,
      provider: config.provider_type,
      externalId: result.outcome === 'sent' ? result.externalId : null,
      target: null,
      at,
      tookMs: Math.round(this.#now() - began),
      error: ended.error,
    };
    return { ...ended, attempts: result.outcome === 'throttled' ? [] : [attempt] };
  }

  async #waysOf(state: NotificationState): Promise<Way[]> {
    const oneOff = this.#options.commands.openProvider(state);
    if (oneOff) {
      const mail = mailOf(state);
      // Whoever made it has seen that there is a sender.
      const from = mail?.from ?? oneOff.from ?? '';
      const stored = {
        is_primary: true,
        is_bulk: true,
        max_recipients: Number.MAX_SAFE_INTEGER,
        rate_limit_per_second: 1,
      };
      return [{ provider: { provider_config: oneOff.config, default_from_email: from, ...stored }, pace: null }];
    }
    const providers = await this.#providersOf(state.workspace);
    return providers.map((provider) => ({ provider, pace: this.#paceOf(state.workspace, provider) }));
  }

  async #providersOf(workspace: number): Promise<readonly EmailProvider[]> {
    try {
      return await this.#options.providersOf(workspace);
    } catch (error) {
      if (error instanceof DomainError && error.code === 'not-found') return [];
      throw error;
    }
  }

  #paceOf(workspace: number, { provider_config: config, rate_limit_per_second: rate }: EmailProvider): TokenBucket {
    const key = `${workspace}/${config.provider_type}/${rate}`;
    const pace = this.#paces.get(key) ?? new TokenBucket(rate);
    this.#paces.set(key, pace);
    return pace;
  }

  #now(): number {
    return this.#options.clock.monotonicMs();
  }
}

function choose(ways: readonly Way[], recipients: number, now: number, tried?: ReadonlySet<number>): Choice {
  const candidates = ways.map(
    ({ provider, pace }): Candidate => ({
      isPrimary: provider.is_primary,
      isBulk: provider.is_bulk,
      maxRecipients: provider.max_recipients,
      waitMs: pace?.waitMs(now) ?? 0,
    }),
  );
  return chooseProvider(candidates, recipients, tried);
}

function endOf(result: EmailResult, all: readonly string[]): Omit<MailRound, 'attempts'> {
  switch (result.outcome) {
    case 'sent': {
      const { undelivered } = result;
      if (undelivered.length === 0) return { open: [], error: null, next: 'never', retryAfterMs: null };
      const [first] = undelivered;
      const error = `${undelivered.length} of ${all.length} recipients were not reached: ${first?.error}`;
      const again = undelivered.some(({ retryable }) => retryable);
      const open = undelivered.map(({ address }) => address);
      return { open, error, next: again ? 'again' : 'never', retryAfterMs: null };
    }
    case 'rejected':
      return { open: all, error: result.error, next: 'never', retryAfterMs: null };
    case 'throttled':
      return { open: all, error: result.error, next: 'later', retryAfterMs: result.retryAfterMs };
    case 'unreachable':
      return { open: all, error: result.error, next: 'again', retryAfterMs: null };
  }
}

/** Both attempts of a round. The second one's end counts where it got further: `all` is how many it was for. */
function joined(first: MailRound, second: MailRound, all: number): MailRound {
  const attempts = [...first.attempts, ...second.attempts];
  if (second.error === null || second.open.length < all) return { ...second, attempts };
  const waits = [first.retryAfterMs, second.retryAfterMs].filter((wait) => wait !== null);
  const retryAfterMs = waits.length > 0 ? Math.min(...waits) : null;
  return { ...second, attempts, next: likelier(first.next, second.next), retryAfterMs };
}

/** What follows on two failures: what leaves the most hope. A round that was used up is used up. */
function likelier(a: Round['next'], b: Round['next']): Round['next'] {
  if (a === 'again' || b === 'again') return 'again';
  return a === 'later' || b === 'later' ? 'later' : 'never';
}

function addressesOf(mail: Pick<Mail, 'to' | 'cc' | 'bcc'>, open: readonly string[] | null): string[] {
  const all = [...mail.to, ...mail.cc, ...mail.bcc];
  return open === null ? all : all.filter((address) => isOpen(address, open));
}

function isOpen(address: string, open: readonly string[]): boolean {
  return open.some((each) => each.toLowerCase() === address.toLowerCase());
}

/**
 * The mail for those that are still to be reached. Where none of them is a To, a Cc is; blind copies alone are mails of their
 * own, as none of them may read of another.
 */
function partsOf(mail: Mail, open: readonly string[] | null): Mail[] {
  if (open === null) return [mail];
  const [to, cc, bcc] = [mail.to, mail.cc, mail.bcc].map((list) => list.filter((address) => isOpen(address, open))) as [
    string[],
    string[],
    string[],
  ];
  if (to.length > 0) return [{ ...mail, to, cc, bcc }];
  if (cc.length > 0) return [{ ...mail, to: cc, cc: [], bcc }];
  return bcc.map((address) => ({ ...mail, to: [address], cc: [], bcc: [] }));
}

function together(rounds: readonly MailRound[]): MailRound {
  const failed = rounds.filter(({ error }) => error !== null);
  const waits = failed.flatMap(({ retryAfterMs }) => (retryAfterMs === null ? [] : [retryAfterMs]));
  return {
    attempts: rounds.flatMap(({ attempts }) => attempts),
    open: rounds.flatMap(({ open }) => open),
    error: failed[0]?.error ?? null,
    next: failed.reduce<Round['next']>((next, round) => likelier(next, round.next), 'never'),
    retryAfterMs: waits.length > 0 ? Math.max(...waits) : null,
  };
}
