import type { AddressInfo } from 'node:net';
import PostalMime, { type Address } from 'postal-mime';
import { SMTPServer, type SMTPServerDataStream, type SMTPServerSession } from 'smtp-server';
import type { Behaviours, Fate } from './behaviour.ts';
import { isBadCredential } from './emulation.ts';
import type { Mail, Mailbox } from './mailbox.ts';
import { compact, type Outcome, type Received, type ReceivedRing } from './received.ts';

export interface MailCatcherOptions {
  readonly host: string;
  readonly port: number;
  /** Any free port where `port` cannot be had, rather than an error. */
  readonly orAnyPort: boolean;
  /** Key and certificate, PEM; with them STARTTLS is offered and asked for before a login, without them it is not. */
  readonly tls?: { readonly key: string; readonly cert: string } | undefined;
  readonly behaviours: Behaviours;
  readonly ring: ReceivedRing;
  readonly mailbox: Mailbox;
  /** Told of every send, as those of the HTTP providers are. */
  readonly onReceived: (record: Received) => void;
  readonly log: (text: string) => void;
}

export interface MailCatcher {
  readonly port: number;
  close(): Promise<void>;
}

const MAX_MAIL_BYTES = 10 * 1024 * 1024;
const MAX_CLIENTS = 1_000;
const SOCKET_TIMEOUT_MS = 120_000;

/** A reply with a code of its own. */
function refusal(responseCode: number, message: string): Error {
  return Object.assign(new Error(message), { responseCode });
}

/**
 * An SMTP server that catches mail. A login is not asked for; if there is one, bad credentials are refused. Fates: `reject` and
 * `undelivered` refuse the recipient (550), `throttle` and `throttle-once` put it off (450, greylisting), `error` and
 * `error-once` put the mail off after its data (451), `hang-once` never answers it, `lose-answer-once` takes it and cuts
 * the connection.
 * @throws Error when the port cannot be had, and no other one was allowed
 */
export async function startMailCatcher(options: MailCatcherOptions): Promise<MailCatcher> {
  const catcher = new Catcher(options);
  const server = new SMTPServer({
    ...(options.tls === undefined ? { disabledCommands: ['STARTTLS'], allowInsecureAuth: true } : options.tls),
    name: 'sandbox.parley',
    banner: 'Parley sandbox',
    authOptional: true,
    size: MAX_MAIL_BYTES,
    rejectOversized: true,
    disableReverseLookup: true,
    maxClients: MAX_CLIENTS,
    socketTimeout: SOCKET_TIMEOUT_MS,
    closeTimeout: 1,
    logger: false,
    onConnect: (_session, done) => done(catcher.refusedConnection()),
    onAuth(auth, _session, done) {
      const bad = isBadCredential(auth.username ?? '') || isBadCredential(auth.password ?? '');
      options.ring.countRequest('smtp', 'check');
      if (bad) done(refusal(535, 'Authentication credentials invalid'));
      else done(null, { user: auth.username });
    },
    onRcptTo: (address, session, done) => done(catcher.refusedRecipient(address.address, session)),
    onData(stream, session, done) {
      catcher.take(stream, session).then(
        (ending) => {
          if (ending === 'cut') cut(session);
          else if (ending !== 'hang') done(ending);
        },
        (error: unknown) => {
          options.log(`sandbox: ${error instanceof Error ? error.message : 'unknown error'}`);
          done(refusal(554, 'the sandbox failed'));
        },
      );
    },
  });
  const cut = (session: SMTPServerSession): void => {
    for (const connection of server.connections) {
      if (connection.session.id === session.id) connection._socket.destroy();
    }
  };
  // A client that goes away in the middle is no trouble of the sandbox's; a port that cannot be had is the start's.
  server.on('error', (error: Error) => {
    if (server.server.listening) options.log(`sandbox: smtp: ${error.message}`);
  });
  const listen = (port: number) =>
    new Promise<void>((resolve, reject) => {
      server.server.once('error', reject);
      server.listen(port, options.host, () => {
        server.server.off('error', reject);
        resolve();
      });
    });
  await listen(options.port).catch((error: NodeJS.ErrnoException) => {
    // Taken, or kept from us: below 1024, or set aside by the system.
    if (!options.orAnyPort || (error.code !== 'EADDRINUSE' && error.code !== 'EACCES')) throw error;
    return listen(0);
  });
  const { port } = server.server.address() as AddressInfo;
  return {
    port,
    close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const connection of server.connections) connection._socket.destroy();
      return closed;
    },
  };
}

/** What becomes of what is said: the fates, and the keeping. */
class Catcher {
  readonly #options: MailCatcherOptions;
  /** The fate of the mail under way, decided by its first recipient, by session. */
  readonly #fates = new WeakMap<SMTPServerSession, { transaction: number; fate: Fate }>();

  constructor(options: MailCatcherOptions) {
    this.#options = options;
  }

  refusedConnection(): Error | null {
    return this.#options.behaviours.of('smtp').down ? refusal(421, 'Service not available, try again later') : null;
  }

  refusedRecipient(address: string, session: SMTPServerSession): Error | null {
    const { behaviours } = this.#options;
    const fate = behaviours.fateOf('smtp', address);
    const sender = session.envelope.mailFrom === false ? '' : session.envelope.mailFrom.address;
    const message = { dispatchId: null, to: address, text: sender };
    if (fate === 'reject' || fate === 'undelivered') {
      this.#note('rejected', address, '', null);
      return refusal(550, '5.1.1 No such user here');
    }
    if (fate === 'throttle' || (fate === 'throttle-once' && behaviours.firstTime('smtp', message))) {
      this.#note('throttled', address, '', null);
      return refusal(450, '4.2.0 Greylisted, try again later');
    }
    const known = this.#fates.get(session);
    if (known?.transaction !== session.transaction)
      this.#fates.set(session, { transaction: session.transaction, fate });
    return null;
  }

  /** Null: taken; an error: refused with it. */
  async take(stream: SMTPServerDataStream, session: SMTPServerSession): Promise<Error | null | 'hang' | 'cut'> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of stream) {
      const piece = Buffer.from(chunk as Uint8Array);
      bytes += piece.length;
      if (bytes <= MAX_MAIL_BYTES) chunks.push(piece);
    }
    // The server answers 552 by itself.
    if (stream.sizeExceeded) return null;
    const recipients = session.envelope.rcptTo.map(({ address }) => address);
    const mail = mailOf(await PostalMime.parse(Buffer.concat(chunks)), recipients);
    const to = recipients.join(', ');
    const { behaviours } = this.#options;
    const fate = this.#fates.get(session)?.fate ?? 'accept';
    const once = fate.endsWith('-once') && behaviours.firstTime('smtp', { dispatchId: null, to, text: mail.subject });
    if (fate === 'error' || (fate === 'error-once' && once)) {
      this.#note('failed', to, mail.subject, null);
      return refusal(451, '4.3.0 Temporary trouble, try again later');
    }
    if (fate === 'hang-once' && once) {
      this.#note('hung', to, mail.subject, null);
      return 'hang';
    }
    this.#note('accepted', to, mail.subject, mail);
    const { latencyMs } = behaviours.of('smtp');
    if (latencyMs > 0) await new Promise((resolve) => setTimeout(resolve, latencyMs).unref());
    return fate === 'lose-answer-once' && once ? 'cut' : null;
  }

  #note(outcome: Outcome, to: string, subject: string, mail: Mail | null): void {
    const { ring, mailbox, onReceived } = this.#options;
    const seq = ring.nextSeq();
    const record: Received = {
      seq,
      at: Date.now(),
      provider: 'smtp',
      outcome,
      dispatchId: mail?.messageId ? compact(mail.messageId) : null,
      to: compact(to),
      text: compact(subject),
      externalId: null,
    };
    if (mail !== null) mailbox.add(mail, seq, 'smtp');
    ring.countRequest('smtp', 'send');
    ring.add(record);
    onReceived(record);
  }
}

/** Recipients of the envelope that no header names got the mail as Bcc. */
function mailOf(parsed: Awaited<ReturnType<typeof PostalMime.parse>>, recipients: readonly string[]): Mail {
  const flat = (list: readonly Address[] | undefined): string[] =>
    (list ?? []).flatMap((one) => one.group?.map(({ address }) => address) ?? [one.address ?? '']);
  const to = flat(parsed.to);
  const cc = flat(parsed.cc);
  const named = new Set([...to, ...cc].map((address) => address.toLowerCase()));
  const { from } = parsed;
  return {
    from: from?.name ? `"${from.name}" <${from.address ?? ''}>` : (from?.address ?? ''),
    to,
    cc,
    bcc: recipients.filter((address) => !named.has(address.toLowerCase())),
    replyTo: flat(parsed.replyTo)[0] ?? null,
    subject: parsed.subject ?? '',
    html: parsed.html ?? null,
    text: parsed.text ?? null,
    messageId: parsed.messageId ?? null,
  };
}
