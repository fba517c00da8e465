/** A database, the sandbox's mail over real HTTP and SMTP, and a node that delivers notifications. */
import type { Test } from 'tap';
import { findNotification, type NotificationView } from '../../../projections/notifications/queries.ts';
import type { NotificationInput } from '../../../src/commands/index.ts';
import { type NotificationsOptions, startNotifications } from '../../../src/delivery/index.ts';
import { startSandbox } from '../../../src/sandbox/index.ts';
import { testDatabase } from '../../support/postgres.ts';
import { Journal, template } from '../world.ts';
import { input, openNode } from './node.ts';

export async function notificationWorld(t: Test) {
  const { url } = await testDatabase(t, { template });
  const sandbox = await startSandbox();
  t.teardown(() => sandbox.close());
  const node = await openNode(url, sandbox.mailgunUrl);
  t.teardown(() => node.close());
  await node.projector.ready;
  const journal = new Journal(t, node.log);
  const projected = async () => {
    const head = await node.log.head();
    while (node.projector.reached() < head) {
      await new Promise<void>((resolve) => {
        const unwatch = node.projector.watch(() => {
          unwatch();
          resolve();
        });
      });
    }
  };
  return {
    url,
    projected,
    sandbox,
    node,
    journal,
    /** Accepts one in a workspace, 7 unless told; its id. */
    async accept(more: Partial<NotificationInput>, workspace = 7): Promise<string> {
      return (await node.commands.accept({ workspace, account: 0 }, input(more))).notification;
    },
    /** Starts delivering; stopped when the test `of` ends. */
    deliver(of: Test, more: Partial<NotificationsOptions> = {}) {
      const notifications = startNotifications({ ...node.options, ...more });
      of.teardown(() => notifications.stop());
      return notifications;
    },
    /** The row of one, once it is over. */
    async ended(notification: string, workspace = 7): Promise<NotificationView> {
      await journal.until((events) =>
        events.some(
          ({ type, data }) =>
            (type === 'NotificationSent' || type === 'NotificationFailed') && data.notification === notification,
        ),
      );
      await projected();
      return (await findNotification(node.read, workspace, notification)) as NotificationView;
    },
  };
}

/** A mail's addresses. */
export function mailTo(...to: string[]): NonNullable<NotificationInput['email']> {
  return { to, cc: [], bcc: [], from: null, replyTo: null };
}
