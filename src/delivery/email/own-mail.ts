import { connect, type Socket } from 'node:net';
import type { MailDoor } from '../../commands/email-providers.ts';
import { ready } from './message.ts';
import { DEFAULT_TIMEOUT_MS } from './provider.ts';
import { type SmtpTarget, sendMail } from './smtp.ts';

export interface OwnMailOptions {
  /** Makes the id of each mail: letters and digits. */
  readonly newId: () => string;
  /** Time for one mail; 30 s unless told. */
  readonly timeoutMs?: number;
  /** Mails under way at once; what comes beyond is not sent. 16 unless told. */
  readonly maxInFlight?: number;
  /** Certificates of authorities to trust instead of Node's. */
  readonly ca?: readonly string[];
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = { 'smtp:': 587, 'smtps:': 465 };
const DEFAULT_MAX_IN_FLIGHT = 16;

/**
 * A mailer for the server's own mail, by the operator's server (`COMPANY_SMTP_URL`); the address is the operator's, so no guard
 * stands before it. `smtps://` is TLS from the first byte. `smtp://` takes STARTTLS, which it insists on where there are
 * credentials; without any it takes it where the server offers it. `?tls=required|offered|none` says otherwise.
 *
 * @throws TypeError when the address is none of these
 */
export function ownMail(url: string, options: OwnMailOptions): MailDoor {
  const target = smtpTargetOf(url);
  const most = options.maxInFlight ?? DEFAULT_MAX_IN_FLIGHT;
  let inFlight = 0;
  return {
    async mail({ from, to, subject, text }) {
      const mail = { id: options.newId(), from: { address: from }, to: [to], subject, content: text } as const;
      const message = ready({ ...mail, contentType: 'text' });
      if ('problem' in message || inFlight >= most) return false;
      inFlight += 1;
      try {
        const ending = await sendMail(target, message, {
          timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
          connect: (signal) => plainConnect(target, signal),
          ca: options.ca,
        });
        return ending.outcome === 'sent';
      } finally {
        inFlight -= 1;
      }
    },
  };
}

/**
 * Reads an `smtp:` or `smtps:` address: `smtp://user:password@host:port?tls=...`.
 * @throws TypeError when it is none; the text holds nothing of the address
 */
export function smtpTargetOf(text: string): SmtpTarget {
  const url = URL.parse(text);
  if (url === null || !(url.protocol in DEFAULT_PORTS) || url.hostname === '') {
    throw new TypeError('not an smtp:// or smtps:// address');
  }
  const tls = url.searchParams.get('tls');
  if (tls !== null && (url.protocol === 'smtps:' || !['required', 'offered', 'none'].includes(tls))) {
    throw new TypeError('tls is none of required, offered and none, or stands beside smtps');
  }
  const auth =
    url.username === '' ? null : { user: decodeURIComponent(url.username), pass: decodeURIComponent(url.password) };
  const wanted = tls ?? (auth === null ? 'offered' : 'required');
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? DEFAULT_PORTS[url.protocol]! : Number(url.port),
    tls:
      url.protocol === 'smtps:'
        ? 'implicit'
        : wanted === 'required'
          ? 'starttls'
          : wanted === 'none'
            ? 'none'
            : 'offered',
    auth,
  };
}

function plainConnect({ host, port }: SmtpTarget, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true });
    const over = (error: Error | null): void => {
      signal.removeEventListener('abort', late);
      socket.removeListener('error', over);
      if (error === null) {
        resolve(socket);
      } else {
        socket.on('error', () => {}).destroy();
        reject(error);
      }
    };
    const late = (): void => {
      over(signal.reason);
    };
    socket.once('error', over);
    socket.once('connect', () => over(null));
    signal.addEventListener('abort', late, { once: true });
  });
}
