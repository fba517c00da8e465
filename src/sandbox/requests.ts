import type { IncomingMessage, ServerResponse } from 'node:http';
import { type BehaviourChange, type Behaviours, type Fate, type ProviderName, providerNames } from './behaviour.ts';
import type { Callbacks } from './callbacks.ts';
import { control } from './control.ts';
import type { Emulation, Send } from './emulation.ts';
import { answer, bodyOf, json, type Reply } from './http.ts';
import type { Mailbox } from './mailbox.ts';
import { mailgun } from './mailgun.ts';
import { postmark } from './postmark.ts';
import { compact, type Outcome, type Received, type ReceivedRing } from './received.ts';
import { sendgrid } from './sendgrid.ts';
import { ses } from './ses.ts';
import { telegram } from './telegram.ts';
import { twilio } from './twilio.ts';
import { whatsapp } from './whatsapp.ts';

/** What the sandbox consists of, handed to those who serve requests. */
export interface Parts {
  readonly behaviours: Behaviours;
  readonly ring: ReceivedRing;
  readonly mailbox: Mailbox;
  readonly callbacks: Callbacks;
  readonly log: (text: string) => void;
}

/** The providers that are emulated over HTTP. */
type HttpProvider = Exclude<ProviderName, 'smtp'>;

const httpProviders = providerNames.filter((name): name is HttpProvider => name !== 'smtp');

/** How a send is answered; `null`: the connection is cut instead. */
interface Verdict {
  readonly outcome: Outcome;
  readonly reply: Reply | null;
  readonly externalId: string | null;
  /** Stages to tell by callbacks. */
  readonly stages: readonly string[];
  readonly delayMs: number;
}

/** Bodies of mail may be as long as the providers take them. */
const MAX_BODY_BYTES: Readonly<Record<string, number>> = {
  mailgun: 25_000_000,
  sendgrid: 30_000_000,
  postmark: 50_000_000,
  ses: 40_000_000,
};
const MAX_OTHER_BODY_BYTES = 256 * 1024;
const MAX_HANG_MS = 120_000;
const MAX_EARLY_RECEIPT_MS = 5_000;
const READ_EVERY = 4;

/** Serves every request: to a provider, to the control routes, to the page. */
export class Requests {
  readonly #parts: Parts;
  readonly #emulations: Readonly<Record<HttpProvider, Emulation>>;
  readonly #listeners = new Set<(record: Received) => void>();
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#emulations = {
      whatsapp: whatsapp(),
      telegram: telegram(),
      twilio: twilio(),
      mailgun: mailgun(),
      sendgrid: sendgrid(),
      postmark: postmark((recipient) => parts.behaviours.magicOf('postmark', recipient) === 'reject'),
      ses: ses(),
    };
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    this.#serve(request, response).catch((error: unknown) => {
      this.#parts.log(`sandbox: ${error instanceof Error ? error.message : 'unknown error'}`);
      answer(response, json(500, { error: 'the sandbox failed' }));
    });
  }

  behave(change: BehaviourChange): void {
    this.#parts.behaviours.change(change);
    if (change.callbackBaseUrl !== undefined) this.#parts.callbacks.whatsappTo(change.callbackBaseUrl);
    if (change.whatsappAppSecret !== undefined) this.#parts.callbacks.whatsappSecret(change.whatsappAppSecret);
  }

  reset(): void {
    this.#parts.ring.reset();
    this.#parts.mailbox.reset();
    this.#parts.callbacks.resetCounts();
  }

  onReceived(listener: (record: Received) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tells the listeners of a send that arrived. */
  tell(record: Received): void {
    for (const listener of this.#listeners) listener(record);
  }

  /** Ends all waiting; answers that were to come later never do. */
  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const target = request.url ?? '/';
    const provider = httpProviders.find((name) => target.startsWith(`/${name}/`));
    const body = await bodyOf(request, MAX_BODY_BYTES[provider ?? ''] ?? MAX_OTHER_BODY_BYTES);
    if (body === null) return answer(response, json(413, { error: 'the body is too large' }));
    const method = request.method ?? 'GET';
    const query = target.indexOf('?');
    const path = query < 0 ? target : target.slice(0, query);
    if (provider === undefined) {
      const search = query < 0 ? '' : target.slice(query);
      const { ring, mailbox, callbacks, behaviours } = this.#parts;
      const hands = {
        ring,
        mailbox,
        callbacks,
        behaviours,
        behave: (change: BehaviourChange) => this.behave(change),
        reset: () => this.reset(),
      };
      return answer(response, control(hands, method, path, new URLSearchParams(search), body));
    }
    const read = this.#emulations[provider].read({
      method,
      path: path.slice(provider.length + 1),
      headers: request.headers,
      body,
    });
    const isSend = read.kind === 'send' || read.kind === 'refused';
    this.#parts.ring.countRequest(provider, isSend ? 'send' : read.kind);
    if (!isSend) {
      const down = this.#parts.behaviours.of(provider).down;
      return this.#reply(provider, response, down ? this.#emulations[provider].failed(503) : read.reply);
    }
    const refused = read.kind === 'refused' ? read : null;
    this.#send(provider, response, read.send, refused);
  }

  #send(
    provider: HttpProvider,
    response: ServerResponse,
    send: Send,
    refused: { readonly outcome: Outcome; readonly reply: Reply } | null,
  ): void {
    const { behaviours, ring, mailbox, callbacks } = this.#parts;
    const behaviour = behaviours.of(provider);
    const seq = ring.nextSeq();
    let verdict: Verdict;
    let fate: Fate = 'accept';
    if (behaviour.down) {
      verdict = plain('failed', this.#emulations[provider].failed(503));
    } else if (refused !== null) {
      verdict = plain(refused.outcome, refused.reply);
    } else {
      fate = behaviours.fateOf(provider, send.fateKey ?? send.to);
      verdict = this.#verdict(provider, send, seq, fate);
    }
    const record: Received = {
      seq,
      at: Date.now(),
      provider,
      outcome: verdict.outcome,
      dispatchId: send.dispatchId === null ? null : compact(send.dispatchId),
      to: compact(send.to),
      text: compact(send.text),
      externalId: verdict.externalId,
    };
    ring.add(record);
    if (verdict.outcome === 'accepted') for (const mail of send.mails ?? []) mailbox.add(mail, seq, provider);
    this.tell(record);
    let toldFirst = false;
    if (verdict.externalId !== null && behaviour.callbacks && (provider === 'whatsapp' || provider === 'twilio')) {
      const { stages, delayMs, externalId } = verdict;
      const plan = { provider, send: { ...send, text: '' }, externalId, stages, delayMs };
      toldFirst = fate === 'early-receipt';
      if (toldFirst) {
        const go = this.#later(MAX_EARLY_RECEIPT_MS, () => this.#reply(provider, response, verdict.reply));
        callbacks.begin(plan, go);
      } else {
        callbacks.begin(plan);
      }
    }
    if (verdict.outcome === 'hung') this.#later(MAX_HANG_MS, () => response.destroy());
    else if (!toldFirst) this.#reply(provider, response, verdict.reply);
  }

  #verdict(provider: HttpProvider, send: Send, seq: number, fate: Fate): Verdict {
    const emulation = this.#emulations[provider];
    const { retryAfterS } = this.#parts.behaviours.of(provider);
    const once = fate.endsWith('-once') && this.#parts.behaviours.firstTime(provider, send);
    switch (fate) {
      case 'reject':
        return plain('rejected', emulation.rejected(send, 'unknown'));
      case 'undelivered':
        if (emulation.stages('failed').length === 0) {
          return plain('rejected', emulation.rejected(send, 'unreachable'));
        }
        break;
      case 'throttle':
        return plain('throttled', emulation.throttled(retryAfterS));
      case 'throttle-once':
        if (once) return plain('throttled', emulation.throttled(retryAfterS));
        break;
      case 'error':
        return plain('failed', emulation.failed(500));
      case 'error-once':
        if (once) return plain('failed', emulation.failed(500));
        break;
      case 'hang-once':
        if (once) return plain('hung', null);
        break;
      case 'no-id':
        return plain('accepted', emulation.acceptedWithoutId(send));
      default:
        break;
    }
    return this.#accept(provider, send, seq, fate, fate === 'lose-answer-once' && once);
  }

  #accept(provider: HttpProvider, send: Send, seq: number, fate: Fate, loseAnswer: boolean): Verdict {
    const emulation = this.#emulations[provider];
    const externalId = emulation.externalId(send, seq);
    const isRead = fate === 'read' || (fate === 'accept' && seq % READ_EVERY === 0);
    const ending = fate === 'undelivered' ? 'failed' : isRead ? 'read' : 'delivered';
    return {
      outcome: 'accepted',
      reply: loseAnswer ? null : emulation.accepted(send, externalId),
      externalId,
      stages: fate === 'no-receipt' ? [] : emulation.stages(ending),
      delayMs: fate === 'early-receipt' ? 0 : this.#parts.behaviours.of(provider).callbackDelayMs,
    };
  }

  #reply(provider: ProviderName, response: ServerResponse, reply: Reply | null): void {
    const waitMs = this.#parts.behaviours.of(provider).latencyMs;
    const act = (): void => {
      if (reply === null) response.destroy();
      else answer(response, reply);
    };
    if (waitMs === 0) act();
    else this.#later(waitMs, act);
  }

  /** Acts after a while, or sooner when the result is called; once, and not after the sandbox was closed. */
  #later(waitMs: number, action: () => void): () => void {
    const go = (): void => {
      clearTimeout(timer);
      if (this.#timers.delete(timer)) action();
    };
    const timer = setTimeout(go, waitMs);
    this.#timers.add(timer);
    return go;
  }
}

function plain(outcome: Outcome, reply: Reply | null): Verdict {
  return { outcome, reply, externalId: null, stages: [], delayMs: 0 };
}
