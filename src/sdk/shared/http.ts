/** Requests of an SDK: attempts, what came of them, and when another one is made (sheet MessageJS, section 17). */
import { isRetriedStatus, parseRetryAfter, retryDelayMs } from './retry.ts';

/** What came of one attempt: an answer with its body as JSON (undefined when it is none), or why there was none. */
export type Answered = { readonly response: Response; readonly body: unknown } | { readonly cause: unknown };

/** Makes one attempt, through the global `fetch`. Without an answer nobody knows whether it took effect. */
export async function attempt(url: string, request: RequestInit): Promise<Answered> {
  let response: Response;
  try {
    response = await fetch(url, request);
  } catch (cause) {
    return { cause };
  }
  let text = '';
  try {
    text = await response.text();
  } catch (cause) {
    // A refusal whose body is lost on the way still has its status.
    if (response.ok) return { cause };
  }
  return { response, body: parseJson(text) };
}

/** What is told of an attempt that got no answer. */
export function networkText(cause: unknown): string {
  return `Network failure: ${cause instanceof Error ? cause.message : String(cause)}`;
}

/** What is told of a refusal that says nothing itself. */
export function statusText(status: number): string {
  return `HTTP error! Status: ${status}`;
}

/** Why an attempt failed, and whether another one may be made. */
export interface Failure {
  readonly error: Error & { readonly code: string | undefined };
  readonly retried: boolean;
  readonly retryAfterMs?: number | undefined;
}

/** Whether and when an attempt may follow on a refusal. */
export function afterRefusal({ status, headers }: Response): Omit<Failure, 'error'> {
  return {
    retried: isRetriedStatus(status),
    retryAfterMs: parseRetryAfter(headers.get('Retry-After'), Date.now()),
  };
}

/** Makes attempts until one has a result, may not be followed by another, or `retries` have followed the first. */
export async function retry<T>(
  retries: number,
  attempt: () => Promise<{ readonly result: T } | { readonly failure: Failure }>,
): Promise<T> {
  for (let next = 1; ; next++) {
    const outcome = await attempt();
    if ('result' in outcome) return outcome.result;
    const { error, retried, retryAfterMs } = outcome.failure;
    const delayMs =
      retried && next <= retries ? retryDelayMs(next, retryAfterMs, error.code, Math.random()) : undefined;
    if (delayMs === undefined) throw error;
    await new Promise((resolve) => setTimeout(resolve, delayMs));
  }
}

/** The address of an API without its one trailing slash. */
export function baseUrlOf(url: string): string {
  return url.replace(/\/$/, '');
}

/** How many retries a setting asks for. Not a number counts as none: a comparison with NaN would retry for ever. */
export function retriesOf(setting: number | undefined): number {
  return Math.max(0, setting || 0);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
