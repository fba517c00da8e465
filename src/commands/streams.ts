/** Names of streams. No personal data stands in them (design promise 12). */
export const streams = {
  workspace: (workspace: number) => `workspace-${workspace}`,
  account: (workspace: number, account: number) => `account-${workspace}-${account}`,
  session: (session: string) => `session-${session}`,
  key: (workspace: number, key: number) => `key-${workspace}-${key}`,
  connector: (workspace: number, connector: number) => `connector-${workspace}-${connector}`,
  template: (workspace: number, template: number) => `template-${workspace}-${template}`,
  dispatch: (dispatch: string) => `dispatch-${dispatch}`,
  heldReceipt: (id: string) => `receipt-${id}`,
  /** Where the event "erased" of a thing stands; it stays for ever. */
  erasure: (stream: string) => `erased-${stream}`,
} as const;

/** The system workspace: MessageJS users live here and own projects (design section 1). */
export const ACCOUNTS_WORKSPACE = 1;
/** The workspace of the integer dialects, `main` unless the configuration names another. */
export const MAIN_WORKSPACE = 2;
/** Each workspace's service account: who a key of the workspace acts as. */
export const SERVICE_ACCOUNT = 0;
