import { type Emulation, isBadCredential, type ProviderRequest, type Read, type Send, text } from './emulation.ts';
import { json, jsonObject, type Reply } from './http.ts';

const MAX_TEXT_CHARACTERS = 4096;
const MAX_BOTS = 10_000;

/** Telegram Bot API: `getMe` and `sendMessage`, GET or POST, JSON or form; no receipts exist. */
export function telegram(): Emulation {
  // Ids count per bot, so that those of two bots meet, as they do with Telegram; a later run begins further up.
  const base = Math.floor(Date.now() / 1_000) % 1_000_000_000;
  const counters = new Map<string, number>();
  return {
    read,
    externalId(send) {
      const next = (counters.get(send.sender) ?? base) + 1;
      if (counters.size >= MAX_BOTS && !counters.has(send.sender)) counters.clear();
      counters.set(send.sender, next);
      return String(next);
    },
    accepted: (send, externalId) => json(200, { ok: true, result: message(send, Number(externalId)) }),
    acceptedWithoutId: (send) => json(200, { ok: true, result: message(send, undefined) }),
    rejected: (_send, reason) =>
      reason === 'unknown'
        ? error(400, 'Bad Request: chat not found')
        : error(403, 'Forbidden: bot was blocked by the user'),
    throttled: (retryAfterS) =>
      json(
        429,
        {
          ok: false,
          error_code: 429,
          description: `Too Many Requests: retry after ${retryAfterS}`,
          parameters: { retry_after: retryAfterS },
        },
        { 'retry-after': String(retryAfterS) },
      ),
    failed: (status) => error(status, status === 500 ? 'Internal Server Error' : 'Service Unavailable'),
    stages: () => [],
  };
}

function read({ method, path, headers, body }: ProviderRequest): Read {
  const [, bot = '', action = '', ...rest] = path.split('/');
  const token = bot.startsWith('bot') ? bot.slice(3) : '';
  if (token === '' || rest.length > 0) return { kind: 'other', reply: error(404, 'Not Found') };
  const name = action.toLowerCase();
  if (name === 'getme') {
    return { kind: 'check', reply: isBadCredential(token) ? error(401, 'Unauthorized') : json(200, me(token)) };
  }
  if (name !== 'sendmessage' || (method !== 'POST' && method !== 'GET')) {
    return { kind: 'other', reply: error(404, 'Not Found') };
  }
  const form = (headers['content-type'] ?? '').startsWith('application/x-www-form-urlencoded');
  const fields = form ? Object.fromEntries(new URLSearchParams(body)) : (jsonObject(body) ?? {});
  const send: Send = {
    dispatchId: null,
    to: text(fields.chat_id),
    text: text(fields.text),
    sender: token,
    from: token,
    callbackUrl: null,
    secret: null,
  };
  if (isBadCredential(token)) {
    return { kind: 'refused', send, outcome: 'unauthorised', reply: error(401, 'Unauthorized') };
  }
  const wrong = wrongWith(send);
  return wrong === null
    ? { kind: 'send', send }
    : { kind: 'refused', send, outcome: 'rejected', reply: error(400, `Bad Request: ${wrong}`) };
}

function wrongWith(send: Send): string | null {
  if (send.to === '') return 'chat_id is empty';
  if (!/^-?\d{1,20}$/.test(send.to) && !/^@\w{1,64}$/.test(send.to)) return 'chat not found';
  if (send.text === '') return 'message text is empty';
  return send.text.length > MAX_TEXT_CHARACTERS ? 'message is too long' : null;
}

function me(token: string): unknown {
  const id = Number(/^\d{1,15}/.exec(token)?.[0] ?? 1);
  return { ok: true, result: { id, is_bot: true, first_name: 'Sandbox', username: 'parley_sandbox_bot' } };
}

function message(send: Send, id: number | undefined): unknown {
  const chat = send.to.startsWith('@')
    ? { id: -1_001_000_000_000, username: send.to.slice(1), type: 'channel' }
    : { id: Number(send.to), type: send.to.startsWith('-') ? 'group' : 'private' };
  return {
    ...(id === undefined ? {} : { message_id: id }),
    from: { id: 1, is_bot: true, first_name: 'Sandbox', username: 'parley_sandbox_bot' },
    chat,
    date: Math.floor(Date.now() / 1_000),
    text: send.text,
  };
}

function error(code: number, description: string): Reply {
  return json(code, { ok: false, error_code: code, description });
}
