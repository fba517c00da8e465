import { SERVICE_ACCOUNT } from '../../schemas/index.ts';

/** Names of streams. No personal data stands in them (design promise 12). */
export const streams = {
  workspace: (workspace: number) => `workspace-${workspace}`,
  account: (workspace: number, account: number) => `account-${workspace}-${account}`,
  /** What an account declared of itself. */
  presence: (workspace: number, account: number) => `presence-${workspace}-${account}`,
  device: (workspace: number, device: number) => `device-${workspace}-${device}`,
  session: (session: string) => `session-${session}`,
  key: (workspace: number, key: number) => `key-${workspace}-${key}`,
  connector: (workspace: number, connector: number) => `connector-${workspace}-${connector}`,
  template: (workspace: number, template: number) => `template-${workspace}-${template}`,
  dispatch: (dispatch: string) => `dispatch-${dispatch}`,
  notification: (notification: string) => `notification-${notification}`,
  room: (workspace: number, room: number) => `room-${workspace}-${room}`,
  message: (workspace: number, message: number) => `message-${workspace}-${message}`,
  /** One account's receipts of one message. */
  receipts: (workspace: number, message: number, account: number) => `receipts-${workspace}-${message}-${account}`,
  /** That one account has read up to one message; nobody loads it. */
  watermark: (workspace: number, room: number, account: number, message: number) =>
    `watermark-${workspace}-${room}-${account}-${message}`,
  webhook: (workspace: number, webhook: number) => `webhook-${workspace}-${webhook}`,
  emailProviders: (workspace: number) => `email-providers-${workspace}`,
  /** Outcomes of one append's deliveries; nobody loads it. */
  deliveries: (id: string) => `deliveries-${id}`,
  heldReceipt: (id: string) => `receipt-${id}`,
  /** Where the event "erased" of a thing stands; it stays for ever. */
  erasure: (stream: string) => `erased-${stream}`,
} as const;

/** The account whose stream this is, by number; null for any other stream. */
export function accountOf(stream: string): number | null {
  const account = /^account-\d+-(\d+)$/.exec(stream)?.[1];
  return account === undefined ? null : Number(account);
}

/** The system workspace: MessageJS users live here and own projects (design section 1). */
export const ACCOUNTS_WORKSPACE = 1;
/** The workspace of the integer dialects, `main` unless the configuration names another. */
export const MAIN_WORKSPACE = 2;
/** Each workspace's service account: who a key of the workspace acts as. */
export { SERVICE_ACCOUNT };
