import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import { type AccountCommand, type AccountState, account, type Identifier } from '../domain/account.ts';
import { DomainError } from '../domain/errors.ts';
import type { ProfileChanges } from '../domain/profile.ts';
import { type SessionState, session } from '../domain/session.ts';
import { type WorkspaceState, workspace as workspaceRules } from '../domain/workspace.ts';
import type { Claim } from '../log/log.ts';
import { type PasswordHasher, sha256 } from '../platform/crypto.ts';
import type { IdSpeller } from '../platform/ids.ts';
import { type IdAllocator, idKinds } from './allocator.ts';
import { onlyMaster } from './clients.ts';
import type { Actor, CommandDoor } from './door.ts';
import type { Idempotency, Keyed } from './idempotency.ts';
import { asTaken, claimsOf, holderOfEmail, identifiersOf } from './identifiers.ts';
import { newSecret, type PresentedSecret, readSecret, spellSecret } from './secrets.ts';
import { startSession } from './sessions.ts';
import { SERVICE_ACCOUNT, streams } from './streams.ts';
import type { Changed } from './workspaces.ts';

/** What the commands on accounts that chat need. */
export interface ChatAccountCommandsOptions {
  readonly door: CommandDoor;
  readonly ids: IdAllocator;
  readonly idempotency: Idempotency;
  readonly passwords: PasswordHasher;
  readonly speller: IdSpeller;
  /** Key of the names of claims. */
  readonly nameKey: Buffer;
}

/** A user of ChatAPI to be. */
export interface UserInput {
  readonly email: string;
  readonly username: string;
  readonly fullName: string | null;
  /** What its scoped key may do; null: all that a user may. */
  readonly permissions?: readonly string[] | null;
  /** How long its scoped key holds, milliseconds; null: without end. */
  readonly keyLifeMs: number | null;
}

/**
 * A user that was created; `secret` is its scoped key, shown here and to a replay of the same request alone. `keyHolds` is
 * false when the replay finds that the key was replaced, revoked or has ended.
 */
export interface CreatedUser extends Changed<AccountState> {
  readonly account: number;
  readonly secret: string;
  readonly keyHolds: boolean;
}

/** Changes of a user; what is not given stays. */
export interface UserChanges {
  readonly email?: string | undefined;
  readonly username?: string | undefined;
  readonly profile?: ProfileChanges | undefined;
  /** The service account alone switches users off and on. */
  readonly active?: boolean | undefined;
}

/** A scoped key that was presented and holds. Times are milliseconds since the epoch. */
export interface AuthenticatedUser {
  readonly workspace: number;
  readonly account: number;
  /** Null: all that a user may. */
  readonly permissions: readonly string[] | null;
  readonly issuedAt: number;
  readonly expiresAt: number | null;
}

/** A session that a token names, and that holds. */
export interface AuthenticatedSession {
  readonly workspace: number;
  readonly account: number;
  readonly session: string;
}

const prefix = 'sk_user_';
const passwordAlphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
/** Company sheet, section 3. */
const generatedPasswordCharacters = 15;

/**
 * Commands on accounts that chat: ChatAPI's users, who hold scoped keys, and Company's, who log in with a password and hold
 * tokens. A workspace has one account per e-mail address, without case, whatever dialect made it; user names compare as they
 * are spelled.
 */
export class ChatAccountCommands {
  readonly #options: ChatAccountCommandsOptions;

  constructor(options: ChatAccountCommandsOptions) {
    this.#options = options;
  }

  /**
   * Creates a user with a scoped key; the service account may. Throws `access-denied`, `identifier-taken` with
   * `details.fields` (`email`, `username`).
   */
  async createUser(actor: Actor, input: UserInput, keyed?: Keyed): Promise<CreatedUser> {
    onlyMaster(actor);
    const { idempotency } = this.#options;
    const secret = newSecret(idempotency.secretBytes(actor, keyed));
    const { email, username, fullName, permissions = null, keyLifeMs } = input;
    return idempotency.once<{ account: number }, CreatedUser>(actor, keyed, {
      make: async (claims) => {
        const made = await this.#open(actor.workspace, () => actor, claims, {
          identifiers: identifiersOf(this.#options.nameKey, actor.workspace, { email, username }),
          ...(fullName !== null && { displayName: fullName }),
          scopedKey: {
            secretHash: sha256(secret),
            sealed: null,
            permissions: permissions === null ? null : [...permissions],
            expiresAt: keyLifeMs === null ? null : this.#options.door.clock.now() + keyLifeMs,
          },
        });
        return { ...made, secret: this.#spell(actor.workspace, made.account, secret), keyHolds: true };
      },
      replay: async ({ account: id }) => {
        const state = await this.stateOf(actor.workspace, id);
        const { secretHash, expiresAt = null } = state.scopedKey ?? {};
        const lasts = expiresAt === null || expiresAt > this.#options.door.clock.now();
        const keyHolds = lasts && secretHash === sha256(secret);
        return { account: id, state, position: null, secret: this.#spell(actor.workspace, id, secret), keyHolds };
      },
    });
  }

  /**
   * Opens an account that logs in with a password, which is made up when none is given and told in the answer alone.
   * Throws `identifier-taken`.
   */
  async register(
    workspace: number,
    input: { readonly email: string; readonly profile: ProfileChanges; readonly password?: string },
    trace?: string,
  ): Promise<Changed<AccountState> & { readonly account: number; readonly password: string }> {
    const password = input.password ?? generatedPassword();
    const passwordHash = await this.#options.passwords.hash(password);
    const identifiers = identifiersOf(this.#options.nameKey, workspace, { email: input.email });
    const itself = (id: number): Actor => ({ workspace, account: id, ...(trace !== undefined && { trace }) });
    const what = { identifiers, passwordHash, profile: input.profile };
    const opened = await this.#open(workspace, itself, () => [], what);
    return { ...opened, password };
  }

  /** Opens an account, by whoever `actor` tells. */
  async #open(
    workspace: number,
    actor: (id: number) => Actor,
    claims: (made: { account: number }) => Claim[],
    what: Omit<OpenCommand, 'command' | 'workspace' | 'account' | 'kind'> & {
      readonly identifiers: readonly Required<Identifier>[];
    },
  ): Promise<Changed<AccountState> & { account: number }> {
    const { door, ids } = this.#options;
    const own = claimsOf(what.identifiers);
    try {
      return await ids.next(workspace, 'account', async (id) => {
        const written = await door.execute(
          account,
          streams.account(workspace, id),
          { command: 'OpenAccount', workspace, account: id, kind: 'person', ...what },
          actor(id),
          { isNew: true, claims: [...claims({ account: id }), ...own] },
        );
        return { account: id, state: written.state, position: written.position };
      });
    } catch (error) {
      throw await asTaken(door, what.identifiers, error);
    }
  }

  /** The state of an account, as it is; at once when it is in memory. One that never was does not exist. */
  stateOf(workspace: number, id: number): AccountState | Promise<AccountState> {
    const { door } = this.#options;
    const stream = streams.account(workspace, id);
    return door.states.peek<AccountState>(stream)?.state ?? door.load(account, stream);
  }

  /** An account. Throws `not-found`. */
  async account(workspace: number, id: number): Promise<AccountState> {
    const state = id === SERVICE_ACCOUNT ? null : await this.stateOf(workspace, id);
    if (!state?.exists) throw new DomainError('not-found');
    return state;
  }

  /** The account that holds an e-mail address, however it is spelled, by the log's own word; null for nobody. */
  accountWith(workspace: number, email: string): Promise<number | null> {
    const { door, nameKey } = this.#options;
    return holderOfEmail(door, nameKey, workspace, email);
  }

  /** An account, for itself and the service account. Throws `not-found`, `access-denied`. */
  async readable(actor: Actor, id: number): Promise<AccountState> {
    onlySelf(actor, id);
    return this.account(actor.workspace, id);
  }

  /** Changes an account: oneself, or anybody by the service account. Throws `not-found`, `access-denied`, `identifier-taken`. */
  async changeUser(
    actor: Actor,
    id: number,
    changes: UserChanges,
  ): Promise<Changed<AccountState> & { readonly at: number }> {
    onlySelf(actor, id);
    const { email, username, profile, active } = changes;
    if (active !== undefined) onlyMaster(actor);
    const identifiers = identifiersOf(this.#options.nameKey, actor.workspace, { email, username });
    const command = {
      command: 'ChangeAccount',
      ...refOf(actor, id),
      identifiers,
      ...(profile && { profile }),
      ...(active !== undefined && { active }),
    } as const;
    try {
      return await this.#options.door.execute(account, streams.account(actor.workspace, id), command, actor, {
        claims: claimsOf(identifiers),
        releasesOf: ({ claims }) => identifiers.flatMap(({ kind }) => claims[kind] ?? []),
      });
    } catch (error) {
      throw await asTaken(this.#options.door, identifiers, error, streams.account(actor.workspace, id));
    }
  }

  /**
   * Deletes an account: oneself, or anybody by the service account. Its credentials die at once, its profile is read no more;
   * what it said stays unless told. Throws `not-found`, `access-denied`.
   */
  async deleteUser(
    actor: Actor,
    id: number,
    { messages = 'keep' }: { readonly messages?: 'keep' | 'erase' } = {},
  ): Promise<Changed<AccountState>> {
    onlySelf(actor, id);
    const command = { command: 'DeleteAccount', ...refOf(actor, id), messages } as const;
    return this.#options.door.execute(account, streams.account(actor.workspace, id), command, actor, {
      releasesOf: ({ claims }) => Object.values(claims),
    });
  }

  /**
   * Issues a scoped key in place of the one before, which fails from here on; the service account may. Throws `not-found`,
   * `access-denied`, `account-inactive`.
   */
  async issueScopedKey(
    actor: Actor,
    id: number,
    { lifeMs, permissions = null }: { readonly lifeMs: number | null; readonly permissions?: readonly string[] | null },
  ): Promise<Changed<AccountState> & { readonly secret: string; readonly expiresAt: number | null }> {
    onlyMaster(actor);
    const secret = newSecret();
    const expiresAt = lifeMs === null ? null : this.#options.door.clock.now() + lifeMs;
    const { state, position } = await this.#options.door.execute(
      account,
      streams.account(actor.workspace, id),
      {
        command: 'IssueScopedKey',
        ...refOf(actor, id),
        secretHash: sha256(secret),
        sealed: null,
        permissions: permissions === null ? null : [...permissions],
        expiresAt,
      },
      actor,
    );
    return { state, position, secret: this.#spell(actor.workspace, id, secret), expiresAt };
  }

  /** Ends the scoped key of oneself, or of anybody by the service account. Throws `not-found`, `access-denied`. */
  async revokeScopedKey(actor: Actor, id: number): Promise<bigint | null> {
    onlySelf(actor, id);
    const command = { command: 'RevokeScopedKey', ...refOf(actor, id) } as const;
    return (await this.#options.door.execute(account, streams.account(actor.workspace, id), command, actor)).position;
  }

  /**
   * The user behind a presented scoped key. Answers at once, without a promise, when all it needs is in memory. Throws
   * `credential-invalid` (unknown, replaced, revoked, its client switched off), `account-inactive`, `credential-expired`.
   */
  authenticateScopedKey(presented: string): AuthenticatedUser | Promise<AuthenticatedUser> {
    const { door, speller } = this.#options;
    const parts = readSecret(prefix, speller, idKinds.scopedKey, presented);
    const known = door.states.peek<AccountState>(streams.account(parts.workspace, parts.id));
    const home = door.states.peek<WorkspaceState>(streams.workspace(parts.workspace));
    return known && home ? this.#judgeKey(known.state, home.state, parts) : this.#authenticateLoading(parts);
  }

  async #authenticateLoading(parts: PresentedSecret): Promise<AuthenticatedUser> {
    const { door } = this.#options;
    const state = await door.load(account, streams.account(parts.workspace, parts.id));
    const home = await door.load(workspaceRules, streams.workspace(parts.workspace));
    return this.#judgeKey(state, home, parts);
  }

  #judgeKey(state: AccountState, home: WorkspaceState, parts: PresentedSecret): AuthenticatedUser {
    const { scopedKey } = state;
    // Hashes of secrets of 256 bits: how long the comparison takes tells nothing of use.
    const holds = state.exists && scopedKey?.secretHash === sha256(parts.secret);
    if (!holds || !scopedKey || !home.exists || !home.isActive) throw new DomainError('credential-invalid');
    if (!state.active) throw new DomainError('account-inactive');
    const { permissions, issuedAt, expiresAt } = scopedKey;
    if (expiresAt !== null && expiresAt <= this.#options.door.clock.now()) throw new DomainError('credential-expired');
    return { workspace: parts.workspace, account: parts.id, permissions, issuedAt, expiresAt };
  }

  /**
   * Checks e-mail and password, both exactly, and starts a session of so long a life; takes as long for an e-mail that nobody
   * has. Throws `credentials-wrong`, `account-inactive`.
   */
  async login(
    workspace: number,
    credentials: { readonly email: string; readonly password: string },
    lifeMs: number,
    trace?: string,
  ): Promise<
    AuthenticatedSession & {
      readonly state: AccountState;
      readonly expiresAt: number;
      readonly position: bigint | null;
    }
  > {
    const { door, passwords } = this.#options;
    const id = await this.accountWith(workspace, credentials.email);
    const state = id === null ? null : await this.stateOf(workspace, id);
    const found = state?.exists && state.email === credentials.email ? state : null;
    const right = await passwords.verify(credentials.password, found?.passwordHash ?? null);
    if (!right || !found || id === null) throw new DomainError('credentials-wrong');
    if (!found.active) throw new DomainError('account-inactive');
    const name = randomUUID();
    const expiresAt = door.clock.now() + lifeMs;
    const position = await startSession(door, {
      actor: { workspace, account: id, ...(trace !== undefined && { trace }) },
      name,
      // Nobody has it: a token of this session is its only credential.
      refreshSecret: randomBytes(32).toString('base64url'),
      expiresAt,
      login: true,
    });
    return { workspace, account: id, session: name, state: found, expiresAt, position };
  }

  /**
   * The session that a token names, which its dialect has verified. Answers at once, without a promise, when all it needs is
   * in memory. Throws `credential-invalid` (ended, unknown, its account gone), `account-inactive`, `credential-expired`.
   */
  authenticateSession(token: AuthenticatedSession): AuthenticatedSession | Promise<AuthenticatedSession> {
    const { door } = this.#options;
    const known = door.states.peek<SessionState>(streams.session(token.session));
    const owner = door.states.peek<AccountState>(streams.account(token.workspace, token.account));
    return known && owner ? this.#judgeSession(known.state, owner.state, token) : this.#sessionLoading(token);
  }

  async #sessionLoading(token: AuthenticatedSession): Promise<AuthenticatedSession> {
    const { door } = this.#options;
    const state = await door.load(session, streams.session(token.session));
    const owner = await door.load(account, streams.account(token.workspace, token.account));
    return this.#judgeSession(state, owner, token);
  }

  #judgeSession(state: SessionState, owner: AccountState, token: AuthenticatedSession): AuthenticatedSession {
    const its = state.workspace === token.workspace && state.account === token.account;
    if (!state.exists || state.ended || !its || !owner.exists) throw new DomainError('credential-invalid');
    if (!owner.active) throw new DomainError('account-inactive');
    if (state.expiresAt <= this.#options.door.clock.now()) throw new DomainError('credential-expired');
    return token;
  }

  /** Ends a session: its token fails from here on. Answers the position, null when it had ended. */
  async endSession(token: AuthenticatedSession, trace?: string): Promise<bigint | null> {
    const { workspace, account: id, session: name } = token;
    const actor: Actor = { workspace, account: id, ...(trace !== undefined && { trace }) };
    const command = { command: 'EndSession', session: name } as const;
    return (await this.#options.door.execute(session, streams.session(name), command, actor)).position;
  }

  /** Sets one's own password; tokens stay. Throws `access-denied` for another's, `not-found`. */
  async changePassword(actor: Actor, id: number, password: string): Promise<Changed<AccountState>> {
    if (actor.account !== id) throw new DomainError('access-denied');
    await this.account(actor.workspace, id);
    const passwordHash = await this.#options.passwords.hash(password);
    const command = { command: 'ChangeAccount', ...refOf(actor, id), passwordHash } as const;
    return this.#options.door.execute(account, streams.account(actor.workspace, id), command, actor);
  }

  #spell(workspace: number, id: number, secret: string): string {
    return spellSecret(prefix, this.#options.speller, { kind: idKinds.scopedKey, workspace, id }, secret);
  }
}

type OpenCommand = Extract<AccountCommand, { command: 'OpenAccount' }>;

function refOf(actor: Actor, id: number): { workspace: number; account: number } {
  return { workspace: actor.workspace, account: id };
}

/** Throws `access-denied` for anybody but the account itself and the service account. */
function onlySelf(actor: Actor, id: number): void {
  if (actor.account !== id && actor.account !== SERVICE_ACCOUNT) throw new DomainError('access-denied');
}

function generatedPassword(): string {
  let password = '';
  for (let i = 0; i < generatedPasswordCharacters; i++) password += passwordAlphabet[randomInt(64)];
  return password;
}
