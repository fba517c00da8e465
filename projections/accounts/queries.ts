import { normalizeEmail } from '../../schemas/index.ts';
import type { AccountRef, Queryable } from '../projection.ts';
import { ms } from '../sql.ts';

/** An account as it can be read. Times are milliseconds since the epoch. */
export interface AccountView {
  readonly workspace: number;
  readonly account: number;
  readonly kind: 'person' | 'bot' | 'service';
  readonly email: string | null;
  readonly displayName: string | null;
  /** Null while the configured default applies. */
  readonly tier: 'free' | 'pro' | 'enterprise' | null;
  readonly openedAt: number;
  /** Null before the first login. */
  readonly lastLoginAt: number | null;
}

const columns = `a.workspace, a.account, a.kind, a.email, a.display_name AS "displayName", a.tier,
  ${ms('a.opened_at')} AS "openedAt", ${ms('l.last_login_at')} AS "lastLoginAt"`;

/** One account, or null. */
export async function findAccount(db: Queryable, { workspace, account }: AccountRef): Promise<AccountView | null> {
  const { rows } = await db.query<AccountView>({
    text: `SELECT ${columns} FROM accounts a LEFT JOIN logins l USING (workspace, account)
      WHERE a.workspace = $1 AND a.account = $2`,
    values: [workspace, account],
  });
  return rows[0] ?? null;
}

/** The account that holds an e-mail address in a workspace, however it is spelled, or null. */
export async function findAccountByEmail(db: Queryable, workspace: number, email: string): Promise<AccountView | null> {
  const { rows } = await db.query<AccountView>({
    text: `SELECT ${columns} FROM accounts a LEFT JOIN logins l USING (workspace, account)
      WHERE a.email_normalised = $2 AND a.workspace = $1 ORDER BY a.account LIMIT 1`,
    values: [workspace, normalizeEmail(email)],
  });
  return rows[0] ?? null;
}
