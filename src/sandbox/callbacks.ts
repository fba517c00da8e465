import { createHmac } from 'node:crypto';
import { type HttpCall, type HttpClient, httpClient } from '../platform/http-client.ts';
import { type ProviderName, perProvider } from './behaviour.ts';
import type { Send } from './emulation.ts';

/** Figures of one provider's status callbacks; each status counts, also where many go in one request. */
export interface CallbackCounts {
  sent: number;
  /** Given up: refused, or every retry failed. */
  failed: number;
  /** Not made, because too many were pending or the sandbox was closing. */
  dropped: number;
  /** Still to come or on their way. */
  pending: number;
}

export interface CallbackOptions {
  /** Statuses that may be pending; what comes beyond is dropped and counted. */
  readonly maxPending: number;
  /** Attempts for one request. */
  readonly attempts: number;
  /** Wait before the second attempt; doubled each time, up to `MAX_BACKOFF_MS`. */
  readonly backoffMs: number;
  readonly onTrouble: (text: string) => void;
}

/** The life of one accepted message, as far as callbacks tell of it. */
export interface Plan {
  readonly provider: 'whatsapp' | 'twilio';
  readonly send: Send;
  readonly externalId: string;
  readonly stages: readonly string[];
  readonly delayMs: number;
}

/** A plan under way. */
interface Life {
  readonly plan: Plan;
  readonly done: () => void;
  /** Stages whose callback has not ended yet. */
  open: number;
}

interface Step {
  readonly life: Life;
  readonly stage: string;
}

interface Job {
  readonly provider: 'whatsapp' | 'twilio';
  readonly steps: readonly Step[];
  attempts: number;
}

/** Steps that fall due within the same interval share a timer, and for WhatsApp a request. */
const INTERVAL_MS = 20;
const MAX_STATUSES_PER_REQUEST = 100;
const MAX_IN_FLIGHT = 32;
const MAX_ORIGINS = 32;
const MAX_BACKOFF_MS = 15_000;
const CALL_TIMEOUT_MS = 10_000;
const QUIET_MS = 1_000;
const WHATSAPP_PATH = '/api/v1/webhooks/whatsapp';
const BUSINESS_ACCOUNT = '100000000000000';

/**
 * Status callbacks. They set out in the order of a message's stages, and may overtake one another on the way, as with the
 * providers. A connection that fails, a 429 and a 5xx
 * are tried again with growing waits; any other answer but a success is given up, as is what outlives its attempts.
 */
export class Callbacks {
  readonly #options: CallbackOptions;
  readonly #due = new Map<number, Step[]>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #clients = new Map<string, HttpClient>();
  readonly #counts: Record<ProviderName, CallbackCounts> = perProvider(zero);
  #jobs: Job[] = [];
  #nextJob = 0;
  #inFlight = 0;
  #closed = false;
  #settled: (() => void)[] = [];
  #quietUntilMs = 0;
  #whatsappUrl: string | null = null;
  #whatsappSecret: string | null = null;

  constructor(options: CallbackOptions) {
    this.#options = options;
  }

  /** Where WhatsApp's callbacks go: the base address of the server, to which the documented path is added. */
  whatsappTo(baseUrl: string): void {
    this.#whatsappUrl = baseUrl.replace(/\/+$/, '') + WHATSAPP_PATH;
  }

  /** What WhatsApp's callbacks are signed with; the empty text ends signing. */
  whatsappSecret(secret: string): void {
    this.#whatsappSecret = secret === '' ? null : secret;
  }

  counts(provider: ProviderName): CallbackCounts {
    return { ...this.#counts[provider] };
  }

  /** Figures start anew; what is pending stays pending. */
  resetCounts(): void {
    for (const counts of Object.values(this.#counts)) Object.assign(counts, { sent: 0, failed: 0, dropped: 0 });
  }

  /**
   * Begins the stages of an accepted message; the first comes after one delay. `done` is called when the last callback has
   * ended, well or not, and at once when there are to be none.
   */
  begin(plan: Plan, done: () => void = () => {}): void {
    const reachable = plan.provider === 'whatsapp' ? this.#whatsappUrl !== null : plan.send.callbackUrl !== null;
    const stages = reachable ? plan.stages.length : 0;
    const counts = this.#counts[plan.provider];
    const hasRoom = !this.#closed && this.#pending() + stages <= this.#options.maxPending;
    if (stages > 0 && hasRoom) {
      counts.pending += stages;
      this.#schedule({ plan, done, open: stages }, 0);
    } else {
      counts.dropped += stages;
      done();
    }
  }

  /** Resolves when nothing is pending. */
  settled(): Promise<void> {
    if (this.#pending() === 0) return Promise.resolve();
    return new Promise((resolve) => this.#settled.push(resolve));
  }

  /** Ends: what is on its way is cut off, what is pending is dropped. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#due.clear();
    this.#jobs = [];
    this.#nextJob = 0;
    await Promise.all([...this.#clients.values()].map((client) => client.close()));
    for (const counts of Object.values(this.#counts)) {
      counts.dropped += counts.pending;
      counts.pending = 0;
    }
    this.#notifySettled();
  }

  #pending(): number {
    return this.#counts.whatsapp.pending + this.#counts.twilio.pending;
  }

  #schedule(life: Life, index: number): void {
    const { plan } = life;
    const stage = plan.stages[index];
    if (stage === undefined) return;
    const nowMs = performance.now();
    const interval = Math.ceil((nowMs + plan.delayMs) / INTERVAL_MS);
    const steps = this.#due.get(interval);
    if (steps !== undefined) {
      steps.push({ life, stage });
      return;
    }
    this.#due.set(interval, [{ life, stage }]);
    this.#after(interval * INTERVAL_MS - nowMs, () => this.#release(interval));
  }

  #release(interval: number): void {
    const steps = this.#due.get(interval) ?? [];
    this.#due.delete(interval);
    const bySender = new Map<string, Step[]>();
    for (const step of steps) {
      if (step.life.plan.provider === 'twilio') {
        this.#jobs.push({ provider: 'twilio', steps: [step], attempts: 0 });
      } else {
        const { sender } = step.life.plan.send;
        const group = bySender.get(sender) ?? [];
        group.push(step);
        bySender.set(sender, group);
      }
    }
    for (const group of bySender.values()) {
      for (let i = 0; i < group.length; i += MAX_STATUSES_PER_REQUEST) {
        this.#jobs.push({ provider: 'whatsapp', steps: group.slice(i, i + MAX_STATUSES_PER_REQUEST), attempts: 0 });
      }
    }
    for (const { life, stage } of steps) this.#schedule(life, life.plan.stages.indexOf(stage) + 1);
    this.#pump();
  }

  #pump(): void {
    while (!this.#closed && this.#inFlight < MAX_IN_FLIGHT && this.#nextJob < this.#jobs.length) {
      const job = this.#jobs[this.#nextJob]!;
      this.#nextJob += 1;
      if (this.#nextJob > 1_024 && this.#nextJob * 2 > this.#jobs.length) {
        this.#jobs = this.#jobs.slice(this.#nextJob);
        this.#nextJob = 0;
      }
      this.#inFlight += 1;
      void this.#attempt(job);
    }
  }

  async #attempt(job: Job): Promise<void> {
    const ending = await this.#call(job);
    this.#inFlight -= 1;
    if (this.#closed) return;
    job.attempts += 1;
    if (ending === 'sent') {
      this.#finish(job, 'sent');
    } else if (ending === 'again' && job.attempts < this.#options.attempts) {
      const waitMs = Math.min(this.#options.backoffMs * 2 ** (job.attempts - 1), MAX_BACKOFF_MS);
      this.#after(waitMs, () => {
        this.#jobs.push(job);
        this.#pump();
      });
    } else {
      this.#finish(job, 'failed');
      this.#complain(job);
    }
    this.#pump();
  }

  /** A server that is away fails thousands of callbacks; one line a second says so well enough. */
  #complain(job: Job): void {
    const nowMs = performance.now();
    if (nowMs < this.#quietUntilMs) return;
    this.#quietUntilMs = nowMs + QUIET_MS;
    const { failed } = this.#counts[job.provider];
    this.#options.onTrouble(
      `${job.provider}: a status callback was given up after ${job.attempts} attempts; ${failed} statuses so far`,
    );
  }

  async #call(job: Job): Promise<'sent' | 'again' | 'refused'> {
    const first = job.steps[0]!.life.plan;
    const address = job.provider === 'whatsapp' ? this.#whatsappUrl : first.send.callbackUrl;
    const url = address === null ? null : URL.parse(address);
    if (address === null || url === null) return 'refused';
    const { headers, body } =
      job.provider === 'whatsapp' ? this.#whatsappRequest(job.steps) : twilioRequest(job.steps[0]!, address);
    const path = url.pathname + url.search;
    const call: HttpCall = { method: 'POST', path, headers, body, timeoutMs: CALL_TIMEOUT_MS };
    const ending = await this.#client(url.origin).call(call);
    if (ending.kind === 'failure') return 'again';
    if (ending.status >= 200 && ending.status < 300) return 'sent';
    return ending.status === 429 || ending.status >= 500 ? 'again' : 'refused';
  }

  #whatsappRequest(steps: readonly Step[]): { headers: Record<string, string>; body: string } {
    const { sender } = steps[0]!.life.plan.send;
    const value = {
      messaging_product: 'whatsapp',
      metadata: { display_phone_number: '15550100000', phone_number_id: sender },
      statuses: steps.map(whatsappStatus),
    };
    const body = JSON.stringify({
      object: 'whatsapp_business_account',
      entry: [{ id: BUSINESS_ACCOUNT, changes: [{ value, field: 'messages' }] }],
    });
    const headers: Record<string, string> = { 'content-type': 'application/json', 'user-agent': 'facebookexternalua' };
    if (this.#whatsappSecret !== null) {
      const signature = createHmac('sha256', this.#whatsappSecret).update(body, 'utf8').digest('hex');
      headers['x-hub-signature-256'] = `sha256=${signature}`;
    }
    return { headers, body };
  }

  #client(origin: string): HttpClient {
    const known = this.#clients.get(origin);
    if (known !== undefined) return known;
    if (this.#clients.size >= MAX_ORIGINS) {
      const [oldest, client] = this.#clients.entries().next().value!;
      this.#clients.delete(oldest);
      void client.close();
    }
    const client = httpClient({ baseUrl: origin, connections: MAX_IN_FLIGHT, maxResponseBytes: 4_096 });
    this.#clients.set(origin, client);
    return client;
  }

  #finish({ provider, steps }: Job, ending: 'sent' | 'failed'): void {
    const counts = this.#counts[provider];
    counts[ending] += steps.length;
    counts.pending -= steps.length;
    for (const { life } of steps) {
      life.open -= 1;
      if (life.open === 0) life.done();
    }
    if (this.#pending() === 0) this.#notifySettled();
  }

  #notifySettled(): void {
    const waiting = this.#settled;
    this.#settled = [];
    for (const resolve of waiting) resolve();
  }

  #after(delayMs: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, delayMs);
    this.#timers.add(timer);
  }
}

function whatsappStatus({ life: { plan }, stage }: Step): unknown {
  const { dispatchId, to } = plan.send;
  const failure = {
    code: 131026,
    title: 'Message undeliverable',
    message: 'Message undeliverable',
    error_data: { details: 'Message Undeliverable.' },
  };
  return {
    id: plan.externalId,
    status: stage,
    timestamp: String(Math.floor(Date.now() / 1_000)),
    recipient_id: to.replace('+', ''),
    ...(dispatchId === null ? {} : { biz_opaque_callback_data: dispatchId }),
    ...(stage === 'failed' ? { errors: [failure] } : {}),
  };
}

function twilioRequest(
  { life: { plan }, stage }: Step,
  address: string,
): { headers: Record<string, string>; body: string } {
  const { send, externalId } = plan;
  const fields: Record<string, string> = {
    AccountSid: send.sender,
    ApiVersion: '2010-04-01',
    From: send.from,
    MessageSid: externalId,
    MessageStatus: stage,
    SmsSid: externalId,
    SmsStatus: stage,
    To: send.to,
  };
  if (stage === 'undelivered') fields.ErrorCode = '30003';
  const signed =
    address +
    Object.keys(fields)
      .sort()
      .map((name) => name + fields[name])
      .join('');
  const signature = createHmac('sha1', send.secret ?? '')
    .update(signed, 'utf8')
    .digest('base64');
  return {
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      'user-agent': 'TwilioProxy/1.1',
      'x-twilio-signature': signature,
    },
    body: new URLSearchParams(fields).toString(),
  };
}

function zero(): CallbackCounts {
  return { sent: 0, failed: 0, dropped: 0, pending: 0 };
}
