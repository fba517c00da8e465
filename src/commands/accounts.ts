import { type AccountState, account, type Tier } from '../domain/account.ts';
import { DomainError } from '../domain/errors.ts';
import { type SessionState, session } from '../domain/session.ts';
import { type PasswordHasher, randomHex, sha256 } from '../platform/crypto.ts';
import { randomId } from '../platform/ids.ts';
import type { IdAllocator } from './allocator.ts';
import type { Actor, CommandDoor } from './door.ts';
import { asTaken, claimsOf, holderOfEmail, identifiersOf } from './identifiers.ts';
import { startSession } from './sessions.ts';
import { streams } from './streams.ts';

/** What the account commands need. */
export interface AccountCommandsOptions {
  readonly door: CommandDoor;
  readonly ids: IdAllocator;
  readonly passwords: PasswordHasher;
  /** Key of the names of claims. */
  readonly nameKey: Buffer;
  readonly refreshLifeMs: number;
}

/** A session as its client gets it. `refreshToken` is shown here only. */
export interface OpenSession {
  readonly workspace: number;
  readonly account: number;
  readonly session: string;
  readonly refreshToken: string;
  readonly position: bigint | null;
}

/** An account as its opener sees it. */
export interface OpenedAccount {
  readonly account: number;
  readonly email: string;
  readonly displayName: string | null;
  readonly openedAt: number;
  readonly position: bigint | null;
}

/** Commands on accounts and sessions. */
export class AccountCommands {
  readonly #options: AccountCommandsOptions;

  constructor(options: AccountCommandsOptions) {
    this.#options = options;
  }

  /** Opens an account that is held by its e-mail. Throws `identifier-taken`. */
  async register(
    workspace: number,
    input: { email: string; password: string; displayName: string | null; trace?: string },
  ): Promise<OpenedAccount> {
    const { door, ids, passwords, nameKey } = this.#options;
    const passwordHash = await passwords.hash(input.password);
    const identifiers = identifiersOf(nameKey, workspace, { email: input.email });
    const claims = claimsOf(identifiers);
    try {
      return await ids.next(workspace, 'account', async (id) => {
        const written = await door.execute(
          account,
          streams.account(workspace, id),
          {
            command: 'OpenAccount',
            workspace,
            account: id,
            kind: 'person',
            email: input.email,
            passwordHash,
            displayName: input.displayName,
          },
          actorOf(workspace, id, input.trace),
          { isNew: true, claims },
        );
        const { at: openedAt, position } = written;
        return { account: id, email: input.email, displayName: input.displayName, openedAt, position };
      });
    } catch (error) {
      throw await asTaken(door, identifiers, error);
    }
  }

  /**
   * Checks e-mail and password, and starts a session; takes equally long for an e-mail that nobody has. Throws
   * `credentials-wrong`.
   */
  async login(
    workspace: number,
    { email, password }: { readonly email: string; readonly password: string },
    trace?: string,
  ): Promise<OpenSession & { readonly state: AccountState }> {
    const { door, passwords, nameKey } = this.#options;
    const id = await holderOfEmail(door, nameKey, workspace, email);
    const state = id === null ? null : await door.load(account, streams.account(workspace, id));
    const right = await passwords.verify(password, state?.passwordHash ?? null);
    if (!right || !state || id === null) throw new DomainError('credentials-wrong');
    return { ...(await this.startSession(workspace, id, true, trace)), state };
  }

  /** Starts a session; `login` when a password was given for it. */
  async startSession(workspace: number, id: number, login: boolean, trace?: string): Promise<OpenSession> {
    const { door, refreshLifeMs } = this.#options;
    const name = randomId();
    const secret = randomHex(32);
    const position = await startSession(door, {
      actor: actorOf(workspace, id, trace),
      ...{ name, refreshSecret: secret, expiresAt: door.clock.now() + refreshLifeMs, login },
    });
    return { workspace, account: id, session: name, refreshToken: refreshToken(name, secret), position };
  }

  /** Rotates a refresh token. Throws `credential-invalid`, `session-ended`, `token-reused`. */
  async refresh(token: string, trace?: string): Promise<OpenSession> {
    const { door, refreshLifeMs } = this.#options;
    const parts = /^refresh_([0-9a-z]{24})([0-9a-f]{64})$/.exec(token);
    const [, name, secret] = parts ?? [];
    if (!name || !secret) throw new DomainError('credential-invalid');
    const state = await door.load(session, streams.session(name));
    if (!state.exists) throw new DomainError('credential-invalid');
    const next = randomHex(32);
    const now = door.clock.now();
    const written = await door.execute(
      session,
      streams.session(name),
      {
        command: 'RefreshSession',
        session: name,
        presentedHash: sha256(secret),
        nextHash: sha256(next),
        now,
        nextExpiresAt: now + refreshLifeMs,
      },
      actorOf(state.workspace, state.account, trace),
    );
    if (written.state.ended) throw new DomainError('token-reused');
    return {
      workspace: state.workspace,
      account: state.account,
      session: name,
      refreshToken: refreshToken(name, next),
      position: written.position,
    };
  }

  /** Ends a session and answers its position; null, and nothing happens, when it has ended or never was. */
  async endSession(name: string, trace?: string): Promise<bigint | null> {
    const { door } = this.#options;
    const state = await door.load(session, streams.session(name));
    if (!state.exists || state.ended) return null;
    const { position } = await door.execute(
      session,
      streams.session(name),
      { command: 'EndSession', session: name },
      actorOf(state.workspace, state.account, trace),
    );
    return position;
  }

  /** State of an account; throws `not-found`. */
  async account(workspace: number, id: number): Promise<AccountState> {
    const state = await this.#options.door.load(account, streams.account(workspace, id));
    if (!state.exists) throw new DomainError('not-found');
    return state;
  }

  /** The session of a token. Throws `credential-invalid` when it has ended or its account is gone. */
  async authenticate(name: string, workspace: number, id: number): Promise<SessionState> {
    const { door } = this.#options;
    const state = await door.load(session, streams.session(name));
    if (!state.exists || state.ended || state.workspace !== workspace || state.account !== id) {
      throw new DomainError('credential-invalid');
    }
    const owner = await door.load(account, streams.account(workspace, id));
    if (!owner.exists) throw new DomainError('credential-invalid');
    return state;
  }

  /** Sets an account's service level. Throws `not-found`. */
  async changeTier(workspace: number, id: number, tier: Tier): Promise<void> {
    await this.#options.door.execute(
      account,
      streams.account(workspace, id),
      { command: 'ChangeTier', workspace, account: id, tier },
      actorOf(workspace, id),
    );
  }
}

function actorOf(workspace: number, id: number, trace?: string): Actor {
  return { workspace, account: id, dialect: 'messagejs', ...(trace !== undefined && { trace }) };
}

function refreshToken(session: string, secret: string): string {
  return `refresh_${session}${secret}`;
}
