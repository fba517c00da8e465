import type { Socket } from 'node:net';
import { isIP } from 'node:net';
import MailComposer from 'nodemailer/lib/mail-composer';
import SMTPConnection from 'nodemailer/lib/smtp-connection';
import { defaultSmtpPorts } from '../../commands/email-providers.ts';
import type { OutboundGuard } from '../../platform/outbound-guard.ts';
import { cleanText, redact } from '../connectors/texts.ts';
import { unreachableText } from './http.ts';
import { asciiMailbox, messageIdOf, plainText, type ReadyMessage, ready, recipientsOf } from './message.ts';
import {
  CHECK_TIMEOUT_MS,
  DEFAULT_TIMEOUT_MS,
  type EmailChannel,
  type EmailProviderConfigOf,
  type EmailResult,
  type Undelivered,
} from './provider.ts';

export interface SmtpOptions {
  /** Opens the connection, to an address that it checked. */
  readonly guard: Pick<OutboundGuard, 'connect'>;
  /** Ports that may be connected to; 25, 465, 587 and 2525 unless told (`SMTP_ALLOWED_PORTS`). */
  readonly allowedPorts?: readonly number[];
  /** Certificates of authorities to trust instead of Node's (which take `NODE_EXTRA_CA_CERTS` in). */
  readonly ca?: readonly string[];
  /** Name in EHLO: the host's own, or its address in brackets, unless told. */
  readonly clientName?: string;
  /** Time for a check; 10 s unless told. */
  readonly checkTimeoutMs?: number;
}

/** A server, and how to speak with it. */
export interface SmtpTarget {
  readonly host: string;
  readonly port: number;
  /** `implicit`: from the first byte; `starttls`: or not at all; `offered`: STARTTLS where the server has it; `none`. */
  readonly tls: 'implicit' | 'starttls' | 'offered' | 'none';
  readonly auth: { readonly user: string; readonly pass: string } | null;
}

export interface SmtpRun {
  readonly timeoutMs: number;
  readonly connect: (signal: AbortSignal) => Promise<Socket>;
  readonly ca?: readonly string[] | undefined;
  readonly clientName?: string | undefined;
}

const LABEL = 'SMTP';
const NO_STARTTLS = 'NO_STARTTLS';
const UNVERIFIED = 'UNVERIFIED';

/**
 * SMTP (sheet, section 11; RFC 5321): a connection per mail. TLS is never left out where it was asked for, and a certificate
 * is always verified, against the host as the tenant named it.
 */
export function smtp(options: SmtpOptions): EmailChannel<'smtp'> {
  const ports = options.allowedPorts ?? defaultSmtpPorts;
  const run = ({ host, port }: EmailProviderConfigOf<'smtp'>, timeoutMs: number): SmtpRun => ({
    timeoutMs,
    connect: (signal) => options.guard.connect({ host, port, signal, timeoutMs }),
    ca: options.ca,
    clientName: options.clientName,
  });
  return {
    type: 'smtp',
    label: LABEL,
    async send(given, config, { timeoutMs = DEFAULT_TIMEOUT_MS } = {}) {
      const message = ready(given);
      if ('problem' in message) return { outcome: 'rejected', error: message.problem };
      if (!ports.includes(config.port)) return { outcome: 'rejected', error: `${LABEL}: the port is not allowed` };
      return sendMail(targetOf(config), message, run(config, timeoutMs));
    },
    async check(config) {
      if (!ports.includes(config.port)) return { valid: false, error: `${LABEL}: the port is not allowed` };
      const timeoutMs = options.checkTimeoutMs ?? CHECK_TIMEOUT_MS;
      const ending = await session(targetOf(config), run(config, timeoutMs), async () => null);
      if (!('trouble' in ending)) return { valid: true };
      return { valid: false, error: checkText(ending.trouble) };
    },
    close: () => Promise.resolve(),
  };
}

function targetOf(config: EmailProviderConfigOf<'smtp'>): SmtpTarget {
  return {
    host: config.host,
    port: config.port,
    tls: config.use_ssl ? 'implicit' : config.use_tls ? 'starttls' : 'none',
    auth: { user: config.username, pass: config.password },
  };
}

/** Sends one mail by one session. Never throws. */
export async function sendMail(target: SmtpTarget, message: ReadyMessage, run: SmtpRun): Promise<EmailResult> {
  const raw = await mimeOf(message);
  const envelope = {
    from: message.from.address,
    to: recipientsOf(message),
    size: raw.length,
    use8BitMime: false,
  };
  const ending = await session(
    target,
    run,
    (connection) =>
      new Promise<Undelivered[]>((resolve, reject) => {
        connection.send(envelope, raw, (error, info) => {
          if (error) return reject(error);
          const errors = info?.rejectedErrors ?? [];
          resolve((info?.rejected ?? []).map((address, i) => undeliveredOf(target, address, errors[i])));
        });
      }),
  );
  if (!('trouble' in ending)) return { outcome: 'sent', externalId: null, undelivered: ending.value };
  const { permanent, text } = ending.trouble;
  return { outcome: permanent ? 'rejected' : 'unreachable', error: text };
}

function undeliveredOf(target: SmtpTarget, address: string, error: unknown): Undelivered {
  const trouble = troubleOf(error, target);
  return { address, error: trouble.text, retryable: !trouble.permanent };
}

/** What went wrong in a session. */
interface Trouble {
  /** Nodemailer's code of the step, or a code of ours. */
  readonly code: string;
  readonly permanent: boolean;
  /** Text for the notification's `error_message`, without a credential. */
  readonly text: string;
}

/** What a check tells: never the server's words, nor how the connection failed. */
function checkText({ code, permanent, text }: Trouble): string {
  if (code === 'EAUTH' && permanent) return `${LABEL} refused the credentials`;
  return code === NO_STARTTLS || code === UNVERIFIED ? text : unreachableText(LABEL);
}

/** Connects, secures, logs in, and does `work`; all of it within the time of the run. */
async function session<T>(
  target: SmtpTarget,
  run: SmtpRun,
  work: (connection: SMTPConnection) => Promise<T>,
): Promise<{ readonly value: T } | { readonly trouble: Trouble }> {
  const late = Object.assign(new Error('late'), { code: 'LATE', timeoutMs: run.timeoutMs });
  const abort = new AbortController();
  let connection: SMTPConnection | null = null;
  let socket: Socket | null = null;
  let fail: (error: unknown) => void = () => {};
  const failed = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  failed.catch(() => {});
  const timer = setTimeout(() => {
    fail(late);
    abort.abort(late);
  }, run.timeoutMs);
  const steps = async (): Promise<T> => {
    socket = await run.connect(abort.signal);
    if (abort.signal.aborted) throw late;
    connection = open(target, socket, run);
    // Trouble that no step waits for: the connection lost, a reply out of turn.
    connection.on('error', fail);
    // After the step that ended with it (421 is a reply and the end) had its say.
    connection.once('end', () => {
      setImmediate(() => fail(Object.assign(new Error('ended'), { code: 'ECONNECTION' })));
    });
    await step((done) => connection!.connect(done));
    const { auth } = target;
    if (auth !== null) await step((done) => connection!.login({ user: auth.user, pass: auth.pass }, done));
    return work(connection);
  };
  try {
    const value = await Promise.race([steps(), failed]);
    hangUp(connection, socket, true);
    return { value };
  } catch (error) {
    hangUp(connection, socket, false);
    return { trouble: troubleOf(error, target) };
  } finally {
    clearTimeout(timer);
  }
}

function step(act: (done: (error?: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => act((error) => (error ? reject(error) : resolve())));
}

function open(target: SmtpTarget, socket: Socket, run: SmtpRun): SMTPConnection {
  return new SMTPConnection({
    connection: socket,
    host: target.host,
    port: target.port,
    secure: target.tls === 'implicit',
    requireTLS: target.tls === 'starttls',
    ignoreTLS: target.tls === 'none',
    ...(run.clientName === undefined ? {} : { name: run.clientName }),
    tls: {
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
      ...(isIP(target.host) === 0 ? { servername: target.host.replace(/\.$/, '') } : {}),
      ...(run.ca === undefined ? {} : { ca: [...run.ca] }),
    },
    // One timer covers the whole session; these only keep Nodemailer's from being shorter.
    connectionTimeout: run.timeoutMs,
    greetingTimeout: run.timeoutMs,
    socketTimeout: run.timeoutMs,
    socketCloseTimeout: 1_000,
    maxResponseSize: 64 * 1024,
    logger: false,
  });
}

/** Leaves nothing open: politely after a success, at once otherwise. */
function hangUp(connection: SMTPConnection | null, socket: Socket | null, politely: boolean): void {
  if (connection !== null) {
    connection.removeAllListeners();
    connection.on('error', () => {});
    if (politely) connection.quit();
    connection.close();
  }
  if (!politely) socket?.on('error', () => {}).destroy();
}

/** Nodemailer's errors: `responseCode` of the reply, `code` of the step, `originalCode` of Node beneath it. */
function troubleOf(error: unknown, target: SmtpTarget): Trouble {
  const of: Readonly<Record<string, unknown>> = typeof error === 'object' && error !== null ? { ...error } : {};
  const code = typeof of.code === 'string' ? of.code : '';
  const beneath = typeof of.originalCode === 'string' ? of.originalCode : code;
  const reply = typeof of.responseCode === 'number' ? of.responseCode : null;
  if (code === 'LATE' || code === 'ETIMEDOUT') {
    const ms = typeof of.timeoutMs === 'number' ? ` within ${of.timeoutMs} ms` : ' in time';
    return { code, permanent: false, text: `${LABEL}: no answer${ms}` };
  }
  if (code === 'TARGET_NOT_ALLOWED') return { code, permanent: true, text: `${LABEL}: the host is not allowed` };
  if (isCertificateTrouble(beneath)) {
    return { code: UNVERIFIED, permanent: true, text: `${LABEL}: the server's certificate cannot be verified` };
  }
  if (code === 'ETLS' && reply !== null && reply >= 500) {
    return { code: NO_STARTTLS, permanent: true, text: `${LABEL}: the server does not offer STARTTLS` };
  }
  if (reply !== null) {
    // 503 blames the session, not the mail: a new one may fare better.
    const permanent = reply >= 500 && reply !== 503;
    const said = typeof of.response === 'string' ? cleanText(redact(of.response, secretsOf(target))) : String(reply);
    const text = code === 'EAUTH' ? `${LABEL}: the login was refused: ${said}` : `${LABEL}: ${said}`;
    return { code, permanent, text };
  }
  if (code === 'EENVELOPE' || code === 'EMESSAGE' || code === 'EAUTH') {
    return { code, permanent: true, text: `${LABEL}: the server cannot take this mail` };
  }
  return { code, permanent: false, text: `${LABEL}: ${NETWORK_TEXTS[beneath] ?? 'connection lost'}` };
}

const NETWORK_TEXTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'host not found',
  EAI_AGAIN: 'host not found',
  EHOSTUNREACH: 'host not reachable',
  ENETUNREACH: 'network not reachable',
  PROXY_REFUSED: 'the proxy refused',
};

/** Node's codes of a chain or a name that does not hold (OpenSSL's X509 verification). */
function isCertificateTrouble(code: string): boolean {
  return /^(?:CERT_|ERR_TLS_CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_CA|PATH_LENGTH|HOSTNAME_MISMATCH)/.test(
    code,
  );
}

function secretsOf({ auth }: SmtpTarget): string[] {
  if (auth === null) return [];
  const base64 = (text: string) => Buffer.from(text, 'utf8').toString('base64');
  return [auth.pass, base64(auth.pass), base64(`\u0000${auth.user}\u0000${auth.pass}`)];
}

/**
 * The mail as it goes over the wire: an HTML content with its text beside it (multipart/alternative), a text alone. Bcc is in
 * the envelope only. Nothing of the content makes the library read a file or an address.
 */
async function mimeOf(message: ReadyMessage): Promise<Buffer> {
  const html = message.contentType === 'html';
  const composer = new MailComposer({
    to: message.to.map((address) => ({ name: '', address })),
    cc: message.cc.map((address) => ({ name: '', address })),
    ...(message.replyTo === null ? {} : { replyTo: { name: '', address: message.replyTo } }),
    subject: message.subject,
    messageId: messageIdOf(message),
    text: html ? plainText(message.content) : message.content,
    ...(html ? { html: message.content } : {}),
    disableFileAccess: true,
    disableUrlAccess: true,
    newline: 'win',
  });
  const rest = await composer.compile().build();
  // Nodemailer leaves the quotes out where a name could do without them; the sheet has them.
  return Buffer.concat([Buffer.from(`From: ${asciiMailbox(message.from)}\r\n`, 'utf8'), rest]);
}
