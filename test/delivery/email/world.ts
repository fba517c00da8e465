import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import PostalMime, { type Email as ParsedMail } from 'postal-mime';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import type { Test } from 'tap';
import { type EmailProviderConfigOf, emailProviderConfigShape } from '../../../src/commands/email-providers.ts';
import type { EmailMessage } from '../../../src/delivery/email/index.ts';
import { type OutboundGuard, outboundGuard } from '../../../src/platform/outbound-guard.ts';

/** A mail as the server got it. */
export interface Arrived {
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly secure: boolean;
  readonly user: unknown;
  readonly raw: string;
  readonly mail: ParsedMail;
}

export interface SmtpWorld {
  readonly port: number;
  readonly arrived: Arrived[];
  /** Methods and users of every login that was tried. */
  readonly logins: { method: string; username: string | undefined; secure: boolean }[];
  /** Connections so far. */
  connections(): number;
  /** Resolves when no connection is open. */
  idle(): Promise<void>;
  readonly server: SMTPServer;
}

export const PASSWORD = 'correct horse battery';

/** A real SMTP server; `options` say what is different about it. The right password is `PASSWORD`. */
export async function smtpServer(test: Test, options: SMTPServerOptions = {}): Promise<SmtpWorld> {
  const arrived: Arrived[] = [];
  const logins: SmtpWorld['logins'] = [];
  let connections = 0;
  const plain = options.key === undefined;
  const server = new SMTPServer({
    ...(plain ? { disabledCommands: ['STARTTLS'], allowInsecureAuth: true } : {}),
    authMethods: ['PLAIN', 'LOGIN'],
    disableReverseLookup: true,
    logger: false,
    closeTimeout: 1,
    onAuth(auth, session, done) {
      logins.push({ method: auth.method, username: auth.username, secure: session.secure });
      if (auth.password === PASSWORD) done(null, { user: auth.username });
      else done(refusal(535, '5.7.8 Authentication failed for a-secret-host-name'));
    },
    onData(stream, session, done) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', async () => {
        const raw = Buffer.concat(chunks);
        const { mailFrom, rcptTo } = session.envelope;
        arrived.push({
          sender: mailFrom === false ? '' : mailFrom.address,
          recipients: rcptTo.map(({ address }) => address),
          secure: session.secure,
          user: session.user,
          raw: raw.toString('utf8'),
          mail: await PostalMime.parse(raw),
        });
        done(null, 'Queued');
      });
    },
    ...options,
  });
  server.on('error', () => {});
  server.server.on('connection', () => {
    connections += 1;
  });
  server.listen(0, '127.0.0.1');
  await once(server.server, 'listening');
  test.teardown(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const connection of server.connections) connection._socket.destroy();
      }),
  );
  return {
    port: (server.server.address() as AddressInfo).port,
    arrived,
    logins,
    server,
    connections: () => connections,
    idle: () =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          server.server.getConnections((error, count) => {
            if (error) reject(error);
            else if (count === 0) resolve();
            else setTimeout(look, 5);
          });
        };
        look();
      }),
  };
}

/** A server that does what `serve` does with each connection; `gone` resolves when the first one has ended. */
export async function rawServer(
  test: Test,
  serve: (socket: Socket) => void,
): Promise<{ port: number; gone: Promise<unknown> }> {
  const sockets = new Set<Socket>();
  let first: (value: unknown) => void = () => {};
  const gone = new Promise((resolve) => {
    first = resolve;
  });
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => {
      sockets.delete(socket);
      first(null);
    });
    serve(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  test.teardown(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  );
  return { port: (server.address() as AddressInfo).port, gone };
}

/** Every name is this machine, and this machine is allowed. */
export function openGuard(): OutboundGuard {
  return outboundGuard({ allowCidrs: ['127.0.0.0/8'], resolve: async () => ['127.0.0.1'] });
}

export function refusal(responseCode: number, message: string): Error {
  return Object.assign(new Error(message), { responseCode });
}

/** The configuration of an SMTP provider on a free port, checked as a tenant's is. */
export function smtpConfig(port: number, more: Readonly<Record<string, unknown>> = {}): EmailProviderConfigOf<'smtp'> {
  const given = {
    provider_type: 'smtp',
    host: 'mail.example.test',
    port,
    username: 'user',
    password: PASSWORD,
    ...more,
  };
  const config = emailProviderConfigShape([port]).parse(given);
  if (config.provider_type !== 'smtp') throw new Error('not smtp');
  return config;
}

export function message(more: Partial<EmailMessage> = {}): EmailMessage {
  return {
    id: '0b5a7c1e-7f0a-4a39-9d8e-1f5f7a1b2c3d',
    from: { address: 'noreply@example.com', name: 'Parley' },
    to: ['one@example.org'],
    subject: 'Hello',
    content: '<p>Hello <b>there</b></p>',
    ...more,
  };
}
