import type { CheckResult, Credentials, ProviderDoor } from '../../commands/providers.ts';
import { type HttpAnswer, type HttpCall, type HttpFailure, httpClient } from '../../platform/http-client.ts';
import type { OutgoingDispatch, Provider, ProviderOptions, SendResult, Withdrawn } from './provider.ts';
import { cleanId, cleanText, parseJson, redact, retryAfterMs } from './texts.ts';

/** A request as a provider file writes it; the time-out, and whether it may leave, are the engine's. */
export type ProviderCall = Omit<HttpCall, 'timeoutMs' | 'mayLeave'>;

/** What a provider's body says went wrong. */
export interface Problem {
  /** The provider's text for people. */
  readonly text?: string | undefined;
  /** The provider's own number of the error. */
  readonly code?: number | undefined;
  /** The status that the body names, for providers that put one there beside HTTP's. */
  readonly status?: number | undefined;
  /** How long the body asks to wait. */
  readonly retryAfterMs?: number | undefined;
}

/** The facts of one provider: what to send, how to read what comes back. Everything else is the same for all. */
export interface ProviderFacts extends Omit<ProviderDoor, 'check' | 'credentialNames'> {
  /**
   * The credentials by name, and what each must look like to be sent at all. A credential that becomes a part of a path
   * uses `PATH_SEGMENT`, so that no value leads to another path or host.
   */
  readonly credentials: Readonly<Record<string, RegExp>>;
  /** The texts that must never be seen, in every form in which they are sent. */
  secrets(credentials: Credentials): string[];
  sendCall(credentials: Credentials, dispatch: OutgoingDispatch): ProviderCall;
  checkCall(credentials: Credentials): ProviderCall;
  /** The problem that an answer's body tells, if it tells one. */
  problem(body: unknown): Problem | undefined;
  /** Numbers of errors that ask to slow down, whatever the HTTP status. */
  readonly throttlingCodes: ReadonlySet<number>;
  /** The id in the answer to an accepted send. */
  externalId(body: unknown): unknown;
  /** True where taking a message is all that the provider will ever say of it. */
  readonly delivered: boolean;
  /** The text for a check that succeeded; undefined when the body is not that of this provider. */
  connected(body: unknown): string | undefined;
}

/** Options that every provider takes beside `ProviderOptions`. */
export interface HttpProviderOptions extends ProviderOptions {
  /** Time for a check of credentials; 10 s unless told. */
  readonly checkTimeoutMs?: number;
}

/**
 * A piece of a path that stays that piece: letters, digits and a few marks that no server or proxy reads as structure,
 * and neither of the names that mean "here" and "above".
 */
export const PATH_SEGMENT = /^(?!\.{1,2}$)[A-Za-z0-9_.:~-]{1,256}$/;

/** What fits into a header: printable ASCII, no space at its ends. */
export const HEADER_TEXT = /^[\x21-\x7e](?:[\x20-\x7e]{0,4094}[\x21-\x7e])?$/;

/** Any text of a sensible length. */
export const ANY_TEXT = /^.{1,4096}$/s;

const DEFAULT_CHECK_TIMEOUT_MS = 10_000;

/** Builds a provider from its facts: the calls, the bounds and the reading of every possible ending (sheet, 12 and 13). */
export function httpProvider(options: HttpProviderOptions, facts: ProviderFacts): Provider {
  const client = httpClient({ baseUrl: options.baseUrl, connections: options.connections });
  const checkTimeoutMs = options.checkTimeoutMs ?? DEFAULT_CHECK_TIMEOUT_MS;
  return {
    type: facts.type,
    label: facts.label,
    credentialNames: Object.keys(facts.credentials),
    parseReceipt: facts.parseReceipt,
    verifyReceipt: facts.verifyReceipt,
    close: () => client.close(),
    async send(credentials, dispatch, timeoutMs) {
      const unusable = unusableCredential(facts, credentials);
      if (unusable !== undefined) return { outcome: 'rejected', error: unusable };
      const { mayLeave } = dispatch;
      const ending = await client.call({ ...facts.sendCall(credentials, dispatch), timeoutMs, mayLeave });
      if (ending.kind === 'failure') return failedSend(facts, ending);
      return readSend(facts, credentials, ending);
    },
    async check(credentials) {
      const unusable = unusableCredential(facts, credentials);
      if (unusable !== undefined) return { outcome: 'rejected', message: unusable };
      const ending = await client.call({ ...facts.checkCall(credentials), timeoutMs: checkTimeoutMs });
      if (ending.kind === 'failure') {
        const outcome = ending.reason === 'unsendable' ? 'rejected' : 'unreachable';
        return { outcome, message: `${facts.label}: ${ending.message}` };
      }
      return readCheck(facts, credentials, ending);
    },
  };
}

/** Names the first credential that cannot be sent, never its value. */
function unusableCredential(facts: ProviderFacts, credentials: Credentials): string | undefined {
  for (const [name, pattern] of Object.entries(facts.credentials)) {
    const value = credentials[name];
    if (typeof value !== 'string' || value === '') return `${facts.label}: ${name} is missing`;
    if (!pattern.test(value)) return `${facts.label}: ${name} is malformed`;
  }
  return undefined;
}

function failedSend(facts: ProviderFacts, failure: HttpFailure): SendResult | Withdrawn {
  if (failure.reason === 'withdrawn') return { outcome: 'withdrawn' };
  const error = `${facts.label}: ${failure.message}`;
  return { outcome: failure.reason === 'unsendable' ? 'rejected' : 'unreachable', error };
}

/** An answer with the problem that it tells, in texts fit to be stored. */
interface Reading {
  readonly body: unknown;
  /** HTTP's status; where HTTP says success and the body a problem, the body's. */
  readonly status: number;
  readonly refused: boolean;
  readonly throttled: boolean;
  readonly retryAfterMs: number | null;
  readonly text: string;
}

function read(facts: ProviderFacts, credentials: Credentials, answer: HttpAnswer): Reading {
  const body = answer.cut ? undefined : parseJson(answer.body);
  const problem = facts.problem(body);
  const refusedByHttp = answer.status < 200 || answer.status >= 300;
  const status = refusedByHttp || problem === undefined ? answer.status : (problem.status ?? 400);
  const told = cleanText(redact(problem?.text ?? '', facts.secrets(credentials)));
  return {
    body,
    status,
    refused: refusedByHttp || problem !== undefined,
    throttled: status === 429 || (problem?.code !== undefined && facts.throttlingCodes.has(problem.code)),
    retryAfterMs: problem?.retryAfterMs ?? retryAfterMs(answer.headers, Date.now()),
    text: told === '' ? `${facts.label} answered with HTTP status ${status}` : told,
  };
}

function readSend(facts: ProviderFacts, credentials: Credentials, answer: HttpAnswer): SendResult {
  const reading = read(facts, credentials, answer);
  if (reading.throttled) return { outcome: 'throttled', error: reading.text, retryAfterMs: reading.retryAfterMs };
  if (reading.status >= 500) return { outcome: 'unreachable', error: reading.text };
  if (reading.refused) return { outcome: 'rejected', error: reading.text };
  const externalId = cleanId(facts.externalId(reading.body));
  if (externalId === undefined) {
    return { outcome: 'rejected', error: `${facts.label} answered without a message id` };
  }
  return { outcome: 'sent', externalId, delivered: facts.delivered };
}

function readCheck(facts: ProviderFacts, credentials: Credentials, answer: HttpAnswer): CheckResult {
  const reading = read(facts, credentials, answer);
  if (reading.throttled || reading.status >= 500) return { outcome: 'unreachable', message: reading.text };
  if (reading.refused) return { outcome: 'rejected', message: reading.text };
  const message = facts.connected(reading.body);
  if (message === undefined) {
    return { outcome: 'rejected', message: `The address did not answer as ${facts.label} does` };
  }
  return { outcome: 'connected', message: cleanText(message) };
}
