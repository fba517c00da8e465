import { normalizeEmail } from '../../schemas/index.ts';
import { listed } from '../listed.ts';
import type { AccountRef, Listed, Page, Queryable } from '../projection.ts';
import { containing, living, ms } from '../sql.ts';

/** An account as it can be read. Times are milliseconds since the epoch; what was never said is null. */
export interface AccountView {
  readonly workspace: number;
  readonly account: number;
  readonly kind: 'person' | 'bot' | 'service';
  readonly email: string | null;
  readonly emailVerified: boolean;
  readonly username: string | null;
  readonly phone: string | null;
  readonly phoneVerified: boolean;
  readonly displayName: string | null;
  readonly givenName: string | null;
  readonly familyName: string | null;
  readonly job: string | null;
  readonly bio: string | null;
  /** Number of a stored file. */
  readonly avatar: number | null;
  /** Null while the configured default applies. */
  readonly tier: 'free' | 'pro' | 'enterprise' | null;
  /** While false its credentials fail. */
  readonly active: boolean;
  readonly hasPassword: boolean;
  /** Its scoped key; null while it has none. */
  readonly scopedKey: {
    readonly issuedAt: number;
    readonly expiresAt: number | null;
    readonly permissions: readonly string[] | null;
  } | null;
  readonly openedAt: number;
  readonly updatedAt: number;
  /** Null before the first login. */
  readonly lastLoginAt: number | null;
  /** A tombstone, when it was asked for by number: of who it was nothing is left, and `updatedAt` is when it was opened. */
  readonly deleted: boolean;
}

const columns = `a.workspace, a.account, a.kind, a.email, a.email_verified AS "emailVerified", a.username, a.phone,
  a.phone_verified AS "phoneVerified", a.display_name AS "displayName", a.given_name AS "givenName",
  a.family_name AS "familyName", a.job, a.bio, a.avatar, a.tier, a.active, a.has_password AS "hasPassword",
  CASE WHEN a.key_issued_at IS NOT NULL THEN json_build_object('issuedAt', ${ms('a.key_issued_at')},
    'expiresAt', ${ms('a.key_expires_at')}, 'permissions', a.key_permissions) END AS "scopedKey",
  ${ms('a.opened_at')} AS "openedAt", ${ms('coalesce(a.updated_at, a.opened_at)')} AS "updatedAt",
  ${ms('l.last_login_at')} AS "lastLoginAt", a.deleted`;

const from = 'accounts a LEFT JOIN logins l USING (workspace, account)';

/** One account, or null. */
export async function findAccount(db: Queryable, { workspace, account }: AccountRef): Promise<AccountView | null> {
  const { rows } = await db.query<AccountView>({
    text: `SELECT ${columns} FROM ${from} WHERE a.workspace = $1 AND a.account = $2 AND NOT a.deleted AND ${living('$1')}`,
    values: [workspace, account],
  });
  return rows[0] ?? null;
}

/** Accounts by number, tombstones too, for whoever names them: in the order of their numbers, unknown ones left out. */
export async function accountsByNumber(
  db: Queryable,
  workspace: number,
  accounts: readonly number[],
): Promise<AccountView[]> {
  const { rows } = await db.query<AccountView>({
    text: `SELECT ${columns} FROM ${from} WHERE a.workspace = $1 AND a.account = ANY ($2::int[]) AND ${living('$1')}
      ORDER BY a.account`,
    values: [workspace, accounts],
  });
  return rows;
}

/** The account that holds an e-mail address in a workspace, however it is spelled, or null. */
export async function findAccountByEmail(db: Queryable, workspace: number, email: string): Promise<AccountView | null> {
  const { rows } = await db.query<AccountView>({
    text: `SELECT ${columns} FROM ${from} WHERE a.email_normalised = $2 AND a.workspace = $1 AND NOT a.deleted
      ORDER BY a.account LIMIT 1`,
    values: [workspace, normalizeEmail(email)],
  });
  return rows[0] ?? null;
}

/**
 * The numbers of the accounts with an identifier in a workspace, oldest first. E-mail addresses are compared `exact`, or
 * `folded` as MessageJS does; two dialects with claims of their own may have given one address to two accounts.
 */
export async function accountsWith(
  db: Queryable,
  workspace: number,
  kind: 'email' | 'username' | 'phone',
  value: string,
  compare: 'exact' | 'folded' = 'exact',
): Promise<number[]> {
  const matches =
    kind === 'email' ? `a.email_normalised = $2 AND ($4 OR a.email = $3)` : `a.${kind} = $3 AND $2::text IS NOT NULL`;
  const { rows } = await db.query<{ account: number }>({
    text: `SELECT a.account FROM accounts a
      WHERE ${matches} AND a.workspace = $1 AND NOT a.deleted AND $4::bool IS NOT NULL AND ${living('$1')} ORDER BY a.account`,
    values: [workspace, normalizeEmail(value), value, compare === 'folded'],
  });
  return rows.map(({ account }) => account);
}

/** Which accounts to list, and how. */
export interface AccountFilter {
  readonly workspace: number;
  readonly kinds?: readonly AccountView['kind'][];
  readonly active?: boolean;
  /** A part of the display, given or family name, username, e-mail address or phone number, whatever its case. */
  readonly search?: string;
  /** Default `account`: in the order in which they were opened. */
  readonly sort?: 'account' | 'updated' | 'email' | 'username' | 'name';
  /** Default `asc`. */
  readonly order?: 'asc' | 'desc';
  /** Only those beyond this number: for cursors. */
  readonly after?: number;
}

const sorts = {
  account: 'a.account',
  updated: 'a.updated_at',
  email: 'a.email',
  username: 'a.username',
  name: 'a.display_name',
} as const;

const searched = ['display_name', 'given_name', 'family_name', 'username', 'email', 'phone'];

/** A workspace's accounts; all of them without a page. The total is counted over them: about 1 ms per 10,000. */
export function listAccounts(db: Queryable, filter: AccountFilter, page?: Page): Promise<Listed<AccountView>> {
  const { workspace, kinds, active, search, sort = 'account', order = 'asc', after } = filter;
  const matches = searched.map((name) => `a.${name} ILIKE $4`).join(' OR ');
  const those = `a.workspace = $1 AND NOT a.deleted AND ${living('$1')} AND ($2::text[] IS NULL OR a.kind = ANY ($2))
    AND ($3::bool IS NULL OR a.active = $3) AND ($4::text IS NULL OR ${matches}) AND a.account > $5`;
  const values = [workspace, kinds ?? null, active ?? null, search ? containing(search) : null, after ?? -1];
  const direction = order === 'asc' ? 'ASC' : 'DESC';
  const by = sort === 'account' ? '' : `${sorts[sort]} ${direction} NULLS LAST, `;
  const [all, counted] = [`FROM ${from} WHERE ${those}`, `FROM accounts a WHERE ${those}`];
  return listed(db, { columns, those: all, counted, order: `${by}a.account ${direction}`, values }, page);
}

/** What an account declared of its presence. */
export interface DeclaredPresence {
  readonly account: number;
  readonly online: boolean;
  /** Milliseconds since the epoch. */
  readonly changedAt: number;
}

/** What these accounts declared, by account; those that never did are left out. */
export async function declaredPresence(
  db: Queryable,
  workspace: number,
  accounts: readonly number[],
): Promise<DeclaredPresence[]> {
  const { rows } = await db.query<DeclaredPresence>({
    text: `SELECT p.account, p.online, ${ms('p.changed_at')} AS "changedAt" FROM declared_presence p
      JOIN accounts a USING (workspace, account)
      WHERE p.workspace = $1 AND p.account = ANY ($2::int[]) AND NOT p.erased AND NOT a.deleted AND ${living('$1')}
      ORDER BY p.account`,
    values: [workspace, accounts],
  });
  return rows;
}
