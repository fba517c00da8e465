import { type ProviderName, perProvider } from './behaviour.ts';

/** How the sandbox answered one send. `hung`: not at all. */
export const outcomes = ['accepted', 'rejected', 'unauthorised', 'throttled', 'failed', 'hung'] as const;
export type Outcome = (typeof outcomes)[number];

/** One send that arrived, whatever became of it. */
export interface Received {
  /** Counted from 1 in order of arrival, over all providers; never used again, not even after a reset. */
  readonly seq: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly provider: ProviderName;
  readonly outcome: Outcome;
  /** The sender's own id, where the provider's API carries one (WhatsApp, Twilio). */
  readonly dispatchId: string | null;
  readonly to: string;
  /** Cut to `MAX_TEXT_CHARACTERS`. */
  readonly text: string;
  /** The id that was answered; null unless accepted. */
  readonly externalId: string | null;
}

/** Which records to give. */
export interface ReceivedQuery {
  readonly provider?: ProviderName | undefined;
  /** Records after this `seq`, oldest first; without it the newest ones, in order of arrival. */
  readonly since?: number | undefined;
  /** 1..10,000; 1,000 unless told. */
  readonly limit?: number | undefined;
}

export interface ReceivedPage {
  readonly received: Received[];
  /** `since` of the next page. */
  readonly next: number;
  /** True when records after this page are there already. */
  readonly more: boolean;
  /** Records forgotten since the last reset, because the memory is bounded. */
  readonly forgotten: number;
}

export type OutcomeCounts = Record<Outcome, number>;

/** Figures of one provider since the last reset. */
export interface SendCounts extends OutcomeCounts {
  /** Requests of any kind. */
  requests: number;
  /** Requests that were sends. */
  sends: number;
  /** Requests that asked whether the credentials work. */
  checks: number;
}

export const MAX_TEXT_CHARACTERS = 256;
export const DEFAULT_PAGE = 1_000;
export const MAX_PAGE = 10_000;

/**
 * What arrived, in a ring: bounded by the number of records, and by the characters they hold together, so that neither
 * many small nor fewer big messages can use up the memory.
 */
export class ReceivedRing {
  #records: Received[] = [];
  /** Index of the oldest record. What lies before it is forgotten, and cut off now and then. */
  #first = 0;
  #characters = 0;
  #seq = 0;
  #forgotten = 0;
  #counts = zero();
  readonly #maxRecords: number;
  readonly #maxCharacters: number;

  constructor(maxRecords: number, maxCharacters: number) {
    this.#maxRecords = Math.max(1, maxRecords);
    this.#maxCharacters = Math.max(1, maxCharacters);
  }

  /** The next number; also what ids are made from. */
  nextSeq(): number {
    this.#seq += 1;
    return this.#seq;
  }

  add(record: Received): void {
    const counts = this.#counts[record.provider];
    counts.sends += 1;
    counts[record.outcome] += 1;
    this.#records.push(record);
    this.#characters += weight(record);
    while (this.#size() > this.#maxRecords || (this.#characters > this.#maxCharacters && this.#size() > 1)) {
      this.#characters -= weight(this.#records[this.#first]!);
      this.#first += 1;
      this.#forgotten += 1;
    }
    // Cutting off in big steps keeps the cost per record constant.
    if (this.#first > 1_024 && this.#first * 2 > this.#records.length) {
      this.#records = this.#records.slice(this.#first);
      this.#first = 0;
    }
  }

  countRequest(provider: ProviderName, kind: 'send' | 'check' | 'other'): void {
    this.#counts[provider].requests += 1;
    if (kind === 'check') this.#counts[provider].checks += 1;
  }

  counts(provider: ProviderName): SendCounts {
    return { ...this.#counts[provider] };
  }

  page(query: ReceivedQuery): ReceivedPage {
    const limit = Math.min(Math.max(1, query.limit ?? DEFAULT_PAGE), MAX_PAGE);
    const received: Received[] = [];
    if (query.since === undefined) {
      for (let i = this.#records.length - 1; i >= this.#first && received.length < limit; i -= 1) {
        const record = this.#records[i]!;
        if (query.provider === undefined || record.provider === query.provider) received.push(record);
      }
      received.reverse();
      return { received, next: this.#seq, more: false, forgotten: this.#forgotten };
    }
    let i = this.#indexAfter(query.since);
    for (; i < this.#records.length && received.length < limit; i += 1) {
      const record = this.#records[i]!;
      if (query.provider === undefined || record.provider === query.provider) received.push(record);
    }
    const more = i < this.#records.length;
    const next = more ? this.#records[i - 1]!.seq : Math.max(query.since, this.#seq);
    return { received, next, more, forgotten: this.#forgotten };
  }

  /** Forgets all records and figures; the numbers go on. */
  reset(): void {
    this.#records = [];
    this.#first = 0;
    this.#characters = 0;
    this.#forgotten = 0;
    this.#counts = zero();
  }

  #size(): number {
    return this.#records.length - this.#first;
  }

  #indexAfter(seq: number): number {
    let low = this.#first;
    let high = this.#records.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#records[middle]!.seq <= seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/**
 * A text that keeps no bigger one alive: a slice of a request's body would hold the whole body for as long as the record
 * lives.
 */
export function compact(text: string): string {
  const cut = text.length > MAX_TEXT_CHARACTERS ? text.slice(0, MAX_TEXT_CHARACTERS) : text;
  return Buffer.from(cut, 'utf8').toString('utf8');
}

function weight(record: Received): number {
  return record.to.length + record.text.length + (record.dispatchId?.length ?? 0) + (record.externalId?.length ?? 0);
}

function zero(): Record<ProviderName, SendCounts> {
  const counts = (): SendCounts => ({
    requests: 0,
    sends: 0,
    checks: 0,
    accepted: 0,
    rejected: 0,
    unauthorised: 0,
    throttled: 0,
    failed: 0,
    hung: 0,
  });
  return perProvider(counts);
}
