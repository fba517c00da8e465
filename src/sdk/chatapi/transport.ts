import { afterRefusal, attempt, type Failure, isObject, networkText, retry, statusText } from '../shared/http.ts';
import { ChatAPIError } from './error.ts';
import { isAfter } from './positions.ts';
import type { FieldProblem, Page } from './public.d.ts';

/** What a client is set up with. */
export interface Settings {
  readonly apiKey: string | null;
  readonly baseUrl: string;
  readonly retries: number;
  readonly consistentReads: boolean;
  /** A new random UUID at each call. */
  readonly newUuid: () => string;
}

/** What goes into an address after the `?`; what is undefined does not. */
export type Query = Readonly<Record<string, string | number | boolean | Date | undefined>>;

/** One request. */
export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Below the address of the API. */
  readonly path: string;
  readonly query?: object | undefined;
  readonly body?: object | undefined;
  /** Makes it take effect once. */
  readonly idempotencyKey?: string | undefined;
  /** Of a POST without a key: twice is the same as once. */
  readonly isRepeatable?: boolean;
  /** The API key does not go along. */
  readonly isPublic?: boolean;
}

/** Talks to the API through the global `fetch`, looked up at each attempt. */
export class Transport {
  readonly settings: Settings;
  #position: string | null = null;

  constructor(settings: Settings) {
    this.settings = settings;
  }

  /** The position of the last write. */
  get position(): string | null {
    return this.#position;
  }

  /** `data` of the answer. Rejects with a ChatAPIError. */
  async one<T>(call: Call): Promise<T> {
    const { data } = await this.#envelope(call);
    return data as T;
  }

  /** The page of a list. */
  async page<T>(call: Call): Promise<Page<T>> {
    const { data, pagination } = await this.#envelope(call);
    return { data, pagination } as Page<T>;
  }

  /** Of what is answered without an object. */
  async nothing(call: Call): Promise<void> {
    await this.bare(call);
  }

  /** The whole body of the answer, whatever it is; undefined for none. */
  async bare(call: Call): Promise<unknown> {
    const {
      method,
      path,
      query = {},
      isRepeatable = call.method !== 'POST' || call.idempotencyKey !== undefined,
    } = call;
    const url = `${this.settings.baseUrl}${path}${spell(query as Query)}`;
    const request: RequestInit = {
      method,
      headers: this.#headers(call),
      ...(call.body !== undefined && { body: JSON.stringify(call.body) }),
    };
    return retry(this.settings.retries, async () => {
      const answered = await attempt(url, request);
      if ('cause' in answered) return { failure: lost(answered.cause, isRepeatable) };
      const { response, body } = answered;
      if (!response.ok) return { failure: refusal(response, body, isRepeatable) };
      if (method !== 'GET') this.#note(response.headers.get('X-Parley-Position'));
      return { result: body };
    });
  }

  async #envelope(call: Call): Promise<Record<string, unknown>> {
    const body = await this.bare(call);
    if (isObject(body) && 'data' in body) return body;
    throw new ChatAPIError('It was done, but the answer is not what the API answers', 'INVALID_RESPONSE');
  }

  #headers({ method, body, idempotencyKey, isPublic = false }: Call): Record<string, string> {
    const { apiKey, consistentReads } = this.settings;
    if (apiKey === null && !isPublic) throw new ChatAPIError('This needs an API key', 'INVALID_ARGUMENT');
    const seen = method === 'GET' && consistentReads ? this.#position : null;
    return {
      ...(body !== undefined && { 'Content-Type': 'application/json' }),
      ...(!isPublic && { Authorization: `Bearer ${apiKey}` }),
      ...(idempotencyKey !== undefined && { 'Idempotency-Key': idempotencyKey }),
      ...(seen !== null && { 'X-Parley-Position': seen }),
    };
  }

  #note(position: string | null): void {
    if (position !== null && isAfter(position, this.#position)) this.#position = position;
  }
}

/** An id as a part of a path. Throws for what would make another path of it. */
export function part(id: string): string {
  if (typeof id !== 'string' || /^\.{0,2}$/.test(id)) throw new ChatAPIError('An id is needed', 'INVALID_ARGUMENT');
  return encodeURIComponent(id);
}

function spell(query: Query): string {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) words.set(name, value instanceof Date ? value.toISOString() : String(value));
  }
  const text = words.toString();
  return text === '' ? '' : `?${text}`;
}

function lost(cause: unknown, isRepeatable: boolean): Failure {
  const error = new ChatAPIError(networkText(cause), 'NETWORK_ERROR', undefined, undefined, { cause });
  return { error, retried: isRepeatable };
}

/** Reads a refusal; a body in another shape than the sheet's (section 3) leaves the status to tell. */
function refusal(response: Response, body: unknown, isRepeatable: boolean): Failure {
  const { status } = response;
  const { detail, error_code: code, errors } = isObject(body) ? body : {};
  const { retried, retryAfterMs } = afterRefusal(response);
  const error = new ChatAPIError(
    typeof detail === 'string' && detail !== '' ? detail : statusText(status),
    typeof code === 'string' ? code : undefined,
    status,
    Array.isArray(errors) ? (errors as FieldProblem[]) : undefined,
  );
  // A limit refuses before anything is done; after any other failure nobody knows.
  return { error, retried: retried && (isRepeatable || status === 429), retryAfterMs };
}
