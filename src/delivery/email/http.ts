import { type HttpAnswer, type HttpClient, type HttpOutcome, httpClient } from '../../platform/http-client.ts';
import type { OutboundGuard } from '../../platform/outbound-guard.ts';
import { cleanText, parseJson, redact, retryAfterMs } from '../connectors/texts.ts';
import { guardedCall } from './guarded-http.ts';
import { type ReadyMessage, ready } from './message.ts';
import {
  CHECK_TIMEOUT_MS,
  DEFAULT_TIMEOUT_MS,
  type EmailChannel,
  type EmailCheck,
  type EmailProviderConfigOf,
  type EmailProviderType,
  type EmailResult,
  type Undelivered,
} from './provider.ts';

/** What every provider over HTTP takes. */
export interface HttpEmailOptions {
  /** Connections to one address of the operator's at most; 8 unless told. */
  readonly connections?: number;
  /** Opens the connections to addresses that a tenant named. */
  readonly guard: Pick<OutboundGuard, 'connector'>;
  /** Time for a check; 10 s unless told. */
  readonly checkTimeoutMs?: number;
}

/** One request, and whom it reaches. */
export interface EmailCall {
  readonly method: 'GET' | 'POST';
  /** Appended to the base address as it is. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface EmailPart {
  readonly call: EmailCall;
  readonly recipients: readonly string[];
  /** Messages in the request, where it holds several; recipients beyond that number are of the first of them. */
  readonly messages?: number;
}

/** What an answer says of the recipients of its part. */
export type Verdict =
  /** Taken; `undelivered` names those of the part that were not. */
  | { readonly kind: 'taken'; readonly externalId: string | null; readonly undelivered: readonly Undelivered[] }
  /** Not what this provider answers to a success. */
  | { readonly kind: 'strange' };

/** What a body says went wrong. */
export interface Problem {
  readonly text?: string | undefined;
  readonly throttled?: boolean;
  /** True where the body names trouble that passes, whatever the HTTP status. */
  readonly passing?: boolean;
}

export interface Base {
  readonly url: string;
  /** True when a tenant named the address: its connections go through the guard. */
  readonly guarded: boolean;
}

/** The facts of one provider. Time-outs, bounds and the reading of every possible ending are the same for all. */
export interface EmailFacts<T extends EmailProviderType> {
  readonly type: T;
  readonly label: string;
  /** The texts that must never be seen, in every form in which they are sent. */
  secrets(config: EmailProviderConfigOf<T>): string[];
  base(config: EmailProviderConfigOf<T>): Base;
  /** The requests for one mail, in order; more than one where the provider bounds the recipients of a request. */
  parts(message: ReadyMessage, config: EmailProviderConfigOf<T>): EmailPart[];
  /** Reads an answer of 2xx. */
  taken(answer: HttpAnswer, body: unknown, part: EmailPart, tell: (text: string) => string): Verdict;
  /** Reads any other answer. */
  problem(body: unknown, answer: HttpAnswer): Problem;
  /** What the answers of a check tell: asks one after another by `ask`. */
  check(config: EmailProviderConfigOf<T>, sender: string, ask: Ask): Promise<EmailCheck>;
  /** The wait that a header beside `Retry-After` asks for. */
  waitMs?(answer: HttpAnswer): number | null;
}

/** One call of a check; null when there is no answer to judge by: no connection, throttled, 5xx. */
export type Ask = (call: EmailCall) => Promise<{ readonly status: number; readonly body: unknown } | null>;

const DEFAULT_CONNECTIONS = 8;
/** Addresses of the operator's: one per provider, and one per region of SES. */
const MAX_CLIENTS = 64;

/** Builds a provider from its facts. */
export function httpEmail<T extends EmailProviderType>(
  options: HttpEmailOptions,
  facts: EmailFacts<T>,
): EmailChannel<T> {
  const clients = new Map<string, HttpClient>();
  const connections = options.connections ?? DEFAULT_CONNECTIONS;
  const callOnce = (base: Base, call: EmailCall, timeoutMs: number): Promise<HttpOutcome> => {
    if (base.guarded) return guardedCall(options.guard, base.url, { ...call, timeoutMs });
    let client = clients.get(base.url);
    if (client === undefined) {
      for (const [oldest, idle] of clients) {
        if (clients.size < MAX_CLIENTS) break;
        clients.delete(oldest);
        void idle.close();
      }
      client = httpClient({ baseUrl: base.url, connections });
      clients.set(base.url, client);
    }
    return client.call({ ...call, timeoutMs });
  };
  return {
    type: facts.type,
    label: facts.label,
    async send(given, config, { timeoutMs = DEFAULT_TIMEOUT_MS } = {}) {
      const message = ready(given);
      if ('problem' in message) return { outcome: 'rejected', error: message.problem };
      const deadline = Date.now() + timeoutMs;
      const base = facts.base(config);
      return together(facts.parts(message, config), async (part) => {
        const leftMs = deadline - Date.now();
        if (leftMs <= 0) return { outcome: 'unreachable', error: `${facts.label}: no answer within ${timeoutMs} ms` };
        return readSend(facts, config, part, await callOnce(base, part.call, leftMs));
      });
    },
    async check(config, sender) {
      const deadline = Date.now() + (options.checkTimeoutMs ?? CHECK_TIMEOUT_MS);
      const base = facts.base(config);
      let unanswered = false;
      const found = await facts.check(config, sender, async (call) => {
        const ending = await callOnce(base, call, Math.max(1, deadline - Date.now()));
        if (ending.kind === 'answer' && ending.status < 500 && ending.status !== 429) {
          return { status: ending.status, body: ending.cut ? undefined : parseJson(ending.body) };
        }
        unanswered = true;
        return null;
      });
      return unanswered && !found.valid ? { valid: false, error: unreachableText(facts.label) } : found;
    },
    async close() {
      const all = [...clients.values()];
      clients.clear();
      await Promise.all(all.map((client) => client.close()));
    },
  };
}

/**
 * The operator's base address, checked when the provider is made, so that no call fails by it.
 * @throws TypeError when it is not a plain http(s) address (no user, query or fragment)
 */
export function operatorsBase(text: string): string {
  const url = URL.parse(text);
  const plain = url !== null && url.username + url.password + url.search + url.hash === '';
  if (!plain || !/^https?:$/.test(url.protocol)) throw new TypeError('the base address is not a plain http(s) address');
  return text.replace(/\/+$/, '');
}

/** One text for every reason, so that a tenant who names a target learns nothing of the network around the server. */
export function unreachableText(label: string): string {
  return `${label} could not be reached there, or gave no usable answer`;
}

/** The usual reading of a check's status; undefined where it says nothing against the credentials. */
export function refusedCheck(label: string, status: number): EmailCheck | undefined {
  if (status === 401 || status === 403) return { valid: false, error: `${label} refused the credentials` };
  return status >= 200 && status < 300 ? undefined : { valid: false, error: unreachableText(label) };
}

/**
 * Sends the parts one after another and makes one ending of theirs. Once a part was taken the mail counts as sent, and whom the
 * others were for is `undelivered`: the whole again would reach some twice.
 */
async function together(
  parts: readonly EmailPart[],
  send: (part: EmailPart) => Promise<EmailResult>,
): Promise<EmailResult> {
  let externalId: string | null = null;
  let sent = false;
  let over: EmailResult | null = null;
  let firstFailure: EmailResult | null = null;
  const undelivered: Undelivered[] = [];
  for (const part of parts) {
    const ending: EmailResult = over ?? (await send(part));
    if (ending.outcome === 'sent') {
      if (!sent) externalId = ending.externalId;
      sent = true;
      undelivered.push(...ending.undelivered);
      continue;
    }
    firstFailure ??= ending;
    const retryable = ending.outcome !== 'rejected';
    // What asks to wait, or does not answer, is not asked again for the rest.
    if (retryable) over = ending;
    undelivered.push(...part.recipients.map((address) => ({ address, error: ending.error, retryable })));
  }
  if (sent) return { outcome: 'sent', externalId, undelivered };
  return over ?? firstFailure ?? { outcome: 'rejected', error: 'the mail has no recipient' };
}

function readSend<T extends EmailProviderType>(
  facts: EmailFacts<T>,
  config: EmailProviderConfigOf<T>,
  part: EmailPart,
  ending: HttpOutcome,
): EmailResult {
  if (ending.kind === 'failure') {
    const error = `${facts.label}: ${ending.message}`;
    return { outcome: ending.reason === 'unsendable' ? 'rejected' : 'unreachable', error };
  }
  const secrets = facts.secrets(config);
  const tell = (text: string) => cleanText(redact(text, secrets));
  const body = ending.cut ? undefined : parseJson(ending.body);
  if (ending.status >= 200 && ending.status < 300) {
    const verdict = facts.taken(ending, body, part, tell);
    if (verdict.kind === 'strange') {
      return { outcome: 'rejected', error: `${facts.label} answered without a message id` };
    }
    if (verdict.undelivered.length < part.recipients.length) {
      return { outcome: 'sent', externalId: verdict.externalId, undelivered: verdict.undelivered };
    }
    const error = verdict.undelivered[0]?.error ?? '';
    return { outcome: verdict.undelivered.some(({ retryable }) => retryable) ? 'unreachable' : 'rejected', error };
  }
  const problem = facts.problem(body, ending);
  const told = tell(problem.text ?? '');
  const error = told === '' ? `${facts.label} answered with HTTP status ${ending.status}` : told;
  if (ending.status === 429 || problem.throttled === true) {
    const hintMs = retryAfterMs(ending.headers, Date.now()) ?? facts.waitMs?.(ending) ?? null;
    return { outcome: 'throttled', error, retryAfterMs: hintMs };
  }
  return { outcome: ending.status >= 500 || problem.passing === true ? 'unreachable' : 'rejected', error };
}
