import { z } from 'zod';
import {
  type BehaviourChange,
  type Behaviours,
  behaviourChange,
  type ProviderName,
  perProvider,
  providerNames,
} from './behaviour.ts';
import type { CallbackCounts, Callbacks } from './callbacks.ts';
import { json, type Reply } from './http.ts';
import { DEFAULT_MAILS, MAX_MAILS, type Mailbox } from './mailbox.ts';
import { mailPage, page } from './page.ts';
import { DEFAULT_PAGE, MAX_PAGE, type ReceivedRing, type SendCounts } from './received.ts';

/** What the control routes act upon. */
export interface Hands {
  readonly ring: ReceivedRing;
  readonly mailbox: Mailbox;
  readonly callbacks: Callbacks;
  readonly behaviours: Behaviours;
  behave(change: BehaviourChange): void;
  reset(): void;
}

export type Counts = Record<ProviderName, SendCounts & { callbacks: CallbackCounts }>;

const receivedQuery = z.object({
  provider: z.enum(providerNames).optional(),
  since: z.coerce.number().int().min(0).optional(),
  limit: z.coerce.number().int().min(1).max(MAX_PAGE).default(DEFAULT_PAGE),
});

const mailQuery = z.object({
  since: z.coerce.number().int().min(0).optional(),
  to: z.string().max(320).optional(),
  limit: z.coerce.number().int().min(1).max(MAX_MAILS).default(DEFAULT_MAILS),
});

const PAGE_RECORDS = 100;
const PAGE_MAILS = 100;

/** All figures, as `GET /sandbox/counts` gives them. */
export function countsOf(ring: ReceivedRing, callbacks: Callbacks): Counts {
  return perProvider((name) => ({ ...ring.counts(name), callbacks: callbacks.counts(name) }));
}

/** Answers a request that goes to no provider. Wrong values get 400 with an `error` that tells which. */
export function control(hands: Hands, method: string, path: string, query: URLSearchParams, body: string): Reply {
  const mail = /^\/(sandbox\/)?mails\/(\d{1,15})$/.exec(path);
  if (method === 'GET' && mail !== null) {
    const found = hands.mailbox.get(Number(mail[2]));
    if (found === undefined) return json(404, { error: 'the sandbox has no such mail' });
    return mail[1] === undefined ? mailPage(found) : json(200, found);
  }
  switch (`${method} ${path}`) {
    case 'GET /':
      return page(
        hands.ring.page({ limit: PAGE_RECORDS }).received,
        countsOf(hands.ring, hands.callbacks),
        hands.behaviours.all(),
        hands.mailbox.list({ limit: PAGE_MAILS }),
      );
    case 'GET /sandbox/mails': {
      const asked = mailQuery.safeParse(Object.fromEntries(query));
      return asked.success ? json(200, { mails: hands.mailbox.list(asked.data) }) : wrong(asked.error);
    }
    case 'GET /sandbox/received': {
      const asked = receivedQuery.safeParse(Object.fromEntries(query));
      return asked.success ? json(200, hands.ring.page(asked.data)) : wrong(asked.error);
    }
    case 'DELETE /sandbox/received':
      hands.reset();
      return json(200, countsOf(hands.ring, hands.callbacks));
    case 'GET /sandbox/counts':
      return json(200, countsOf(hands.ring, hands.callbacks));
    case 'GET /sandbox/behaviour':
      return json(200, hands.behaviours.all());
    case 'PUT /sandbox/behaviour':
      return change(hands, body);
    default:
      return json(404, { error: 'the sandbox has no such route' });
  }
}

function change(hands: Hands, body: string): Reply {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return json(400, { error: 'the body is not JSON' });
  }
  const asked = behaviourChange.safeParse(value);
  if (!asked.success) return wrong(asked.error);
  try {
    hands.behave(asked.data);
  } catch (error) {
    if (error instanceof RangeError) return json(400, { error: error.message });
    throw error;
  }
  return json(200, hands.behaviours.all());
}

function wrong(error: z.ZodError): Reply {
  return json(400, { error: z.prettifyError(error) });
}
