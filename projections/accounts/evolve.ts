import { normalizeEmail } from '../../schemas/index.ts';
import { foldTable } from '../fold-table.ts';
import type { RecordedEvent } from '../projection.ts';

/** An account as its row has it. Times are milliseconds since the epoch. */
export type AccountRow = {
  readonly workspace: number;
  readonly account: number;
  readonly kind: string;
  readonly email: string | null;
  readonly email_normalised: string | null;
  readonly email_verified: boolean;
  readonly username: string | null;
  readonly phone: string | null;
  readonly phone_verified: boolean;
  readonly display_name: string | null;
  readonly given_name: string | null;
  readonly family_name: string | null;
  readonly job: string | null;
  readonly bio: string | null;
  readonly avatar: number | null;
  readonly tier: string | null;
  readonly active: boolean;
  readonly has_password: boolean;
  readonly key_issued_at: number | null;
  readonly key_expires_at: number | null;
  readonly key_permissions: readonly string[] | null;
  readonly opened_at: number;
  readonly updated_at: number | null;
  readonly deleted: boolean;
  readonly deleted_at: number | null;
  readonly messages: string | null;
  readonly erased: boolean;
};

export const accountTable = foldTable<AccountRow>(
  'accounts',
  2,
  {
    workspace: 'int',
    account: 'int',
    kind: 'text',
    email: 'text',
    email_normalised: 'text',
    email_verified: 'bool',
    username: 'text',
    phone: 'text',
    phone_verified: 'bool',
    display_name: 'text',
    given_name: 'text',
    family_name: 'text',
    job: 'text',
    bio: 'text',
    avatar: 'int',
    tier: 'text',
    active: 'bool',
    has_password: 'bool',
    key_issued_at: 'time',
    key_expires_at: 'time',
    key_permissions: 'json',
    opened_at: 'time',
    updated_at: 'time',
    deleted: 'bool',
    deleted_at: 'time',
    messages: 'text',
    erased: 'bool',
  },
  { erasable: true },
);

const accountEventTypes = [
  'AccountOpened',
  'IdentifierAttached',
  'VerificationStarted',
  'IdentifierVerified',
  'PasswordSet',
  'ProfileChanged',
  'TierChanged',
  'ScopedKeyIssued',
  'ScopedKeyRevoked',
  'AccountDeactivated',
  'AccountActivated',
  'AccountDeleted',
  'AccountErased',
] as const;

/** An event that changes the row of an account. */
export type AccountEvent = RecordedEvent & { readonly type: (typeof accountEventTypes)[number] };

const types: ReadonlySet<string> = new Set(accountEventTypes);

/** Whether an event changes the row of an account. */
export function isAccountEvent(event: RecordedEvent): event is AccountEvent {
  return types.has(event.type);
}

const noKey = { key_issued_at: null, key_expires_at: null, key_permissions: null };

/** An account of which nothing was said, and what is left of a deleted one. */
const blank = {
  email: null,
  email_normalised: null,
  email_verified: false,
  username: null,
  phone: null,
  phone_verified: false,
  display_name: null,
  given_name: null,
  family_name: null,
  job: null,
  bio: null,
  avatar: null,
  tier: null,
  has_password: false,
  ...noKey,
};

/** The row after an event; null when it stays as it is. */
export function evolveAccount(row: AccountRow | null, event: AccountEvent): AccountRow | null {
  if (row?.erased) return null;
  const { workspace, account } = event.data;
  if (event.type === 'AccountErased') {
    const { kind, openedAt, messages } = event.data;
    const gone = { active: false, updated_at: null, deleted: true, deleted_at: null, messages, erased: true };
    return { workspace, account, kind, ...blank, opened_at: openedAt, ...gone };
  }
  if (event.type === 'AccountOpened') {
    const living = { active: true, deleted: false, deleted_at: null, messages: null, erased: false };
    return {
      workspace,
      account,
      kind: event.data.kind,
      ...blank,
      opened_at: event.at,
      updated_at: event.at,
      ...living,
    };
  }
  if (!row || row.deleted) return null;
  switch (event.type) {
    case 'PasswordSet':
      return row.has_password ? null : { ...row, has_password: true };
    case 'TierChanged':
      return { ...row, tier: event.data.tier };
    case 'ScopedKeyIssued': {
      const { permissions, expiresAt } = event.data;
      return { ...row, key_issued_at: event.at, key_expires_at: expiresAt, key_permissions: permissions };
    }
    case 'ScopedKeyRevoked':
      return { ...row, ...noKey };
    case 'AccountDeactivated':
    case 'AccountActivated':
      return { ...row, active: event.type === 'AccountActivated', updated_at: event.at };
    case 'AccountDeleted': {
      const { messages } = event.data;
      return { ...row, ...blank, active: false, updated_at: null, deleted: true, deleted_at: event.at, messages };
    }
    default:
      return evolveIdentity(row, event);
  }
}

type IdentityEvent = AccountEvent & {
  readonly type: 'IdentifierAttached' | 'VerificationStarted' | 'IdentifierVerified' | 'ProfileChanged';
};

function evolveIdentity(row: AccountRow, event: IdentityEvent): AccountRow {
  switch (event.type) {
    case 'IdentifierAttached': {
      const { kind, value } = event.data;
      const changed = { ...row, [kind]: value, updated_at: event.at };
      if (kind === 'email') return { ...changed, email_normalised: normalizeEmail(value), email_verified: false };
      return kind === 'phone' ? { ...changed, phone_verified: false } : changed;
    }
    case 'VerificationStarted':
    case 'IdentifierVerified': {
      const { kind } = event.data;
      return kind === 'username' ? row : { ...row, [`${kind}_verified`]: event.type === 'IdentifierVerified' };
    }
    case 'ProfileChanged': {
      const { displayName = row.display_name, givenName = row.given_name, familyName = row.family_name } = event.data;
      const { job = row.job, bio = row.bio, avatar = row.avatar } = event.data;
      const names = { display_name: displayName, given_name: givenName, family_name: familyName };
      return { ...row, ...names, job, bio, avatar, updated_at: event.at };
    }
  }
}
