/** A node that delivers notifications, with a log, a door and leases of its own; used by tests and by `child.ts`. */
import { codec } from '../../../schemas/index.ts';
import {
  CommandDoor,
  type EmailProvider,
  NotificationCommands,
  type NotificationInput,
  type RoomState,
} from '../../../src/commands/index.ts';
import { email } from '../../../src/delivery/email/index.ts';
import type { NotificationsOptions } from '../../../src/delivery/index.ts';
import { room as roomRules } from '../../../src/domain/room.ts';
import { openTailFeed } from '../../../src/feed/tail.ts';
import { openPostgresLog } from '../../../src/log/postgres.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { Sealer } from '../../../src/platform/crypto.ts';
import { outboundGuard } from '../../../src/platform/outbound-guard.ts';
import { openPool } from '../../../src/platform/postgres.ts';
import { projectorGroup, readPool, startProjector } from '../../../src/readside/index.ts';

export const silent = { info() {}, warn() {}, error() {} };

const sender = { is_primary: true, is_bulk: true, max_recipients: 100, default_from_email: 'hello@acme.example' };

/** A provider that is as quick as may be. */
export function provider(config: EmailProvider['provider_config'], more: Partial<EmailProvider> = {}): EmailProvider {
  return { provider_config: config, ...sender, rate_limit_per_second: 1_000, ...more };
}

export const mailgun = provider({ provider_type: 'mailgun', api_key: 'key', domain: 'mg.example.com' });

/** An input with what every test has. */
export function input(more: Partial<NotificationInput>): NotificationInput {
  return {
    type: 'email',
    room: null,
    subject: 'Hi',
    content: 'there',
    email: null,
    fallback: null,
    recipients: [],
    priority: 'normal',
    scheduledFor: null,
    provider: null,
    maxRetries: 3,
    meta: null,
    ...more,
  };
}

/** Opens one. `mailgunUrl` is the sandbox's. */
export async function openNode(url: string, mailgunUrl: string) {
  const log = await openPostgresLog({ url, codec });
  const feed = openTailFeed(log, silent);
  const projector = await startProjector({ url, feed, history: log, logger: silent });
  const work = openPool({ url, name: 'node', maxConnections: 8 });
  const read = readPool(url);
  const door = new CommandDoor({ log, clock: systemClock });
  await door.start();
  const guard = outboundGuard({ allowCidrs: ['127.0.0.0/8'] });
  const room: RoomState = { ...roomRules.initial, exists: true };
  const commands = new NotificationCommands({
    door,
    rooms: { readable: async () => room },
    sealer: new Sealer([Buffer.alloc(32, 3)]),
    guard,
    idKey: Buffer.alloc(32, 1),
  });
  const mails = email({ guard, mailgunUrl, smtpPorts: Array.from({ length: 65_536 }, (_, port) => port) });
  const options: NotificationsOptions = {
    feed,
    read,
    work,
    projected: projector,
    projectorGroup,
    head: () => log.head(),
    commands,
    email: mails,
    providersOf: async () => [mailgun],
    roomOf: () => room,
    online: async () => new Set(),
    secretOf: async () => null,
    dialect: { spell: (id) => id, body: ({ notification }, attempt) => ({ id: notification, attempt }) },
    guard,
    clock: systemClock,
    logger: silent,
    schedule: { retryDelaysMs: [20], maxThrottleMs: 1_000, maxAgeMs: 86_400_000 },
    leaseMs: 2_500,
    pollMs: 100,
  };
  return {
    log,
    projector,
    read,
    commands,
    options,
    async close() {
      await mails.close();
      await door.stop();
      await projector.stop();
      await Promise.all([work.end(), read.end()]);
      await log.close();
    },
  };
}
