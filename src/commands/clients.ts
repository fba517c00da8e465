import { DomainError } from '../domain/errors.ts';
import { type KeyState, key } from '../domain/key.ts';
import { type WorkspaceState, workspace } from '../domain/workspace.ts';
import { sha256 } from '../platform/crypto.ts';
import type { IdSpeller } from '../platform/ids.ts';
import { type IdAllocator, idKinds } from './allocator.ts';
import type { Actor, CommandDoor } from './door.ts';
import { newSecret, type PresentedSecret, readSecret, spellSecret } from './secrets.ts';
import { ACCOUNTS_WORKSPACE, SERVICE_ACCOUNT, streams } from './streams.ts';
import type { Changed } from './workspaces.ts';

/** What the commands on clients need. */
export interface ClientCommandsOptions {
  readonly door: CommandDoor;
  readonly ids: IdAllocator;
  readonly speller: IdSpeller;
}

/** A master key that was presented and holds. It acts as its workspace's service account. */
export interface AuthenticatedMaster {
  readonly workspace: number;
  readonly account: typeof SERVICE_ACCOUNT;
  readonly key: number;
}

/** A master key as its maker gets it; `secret` is shown here only. */
export interface IssuedMasterKey extends Changed<KeyState> {
  readonly key: number;
  /** `ck_live_` and 67 characters: 24 that name the key, 43 of 32 random bytes. */
  readonly secret: string;
}

const prefix = 'ck_live_';

/** Commands on ChatAPI's clients: workspaces of kind `client`, and the master keys of any workspace (ChatAPI sheet, sections 2 and 6). */
export class ClientCommands {
  readonly #options: ClientCommandsOptions;

  constructor(options: ClientCommandsOptions) {
    this.#options = options;
  }

  /** Opens a client and issues its master key. */
  async createClient(
    input: { readonly name: string; readonly description: string | null },
    trace?: string,
  ): Promise<Changed<WorkspaceState> & { readonly workspace: number; readonly secret: string }> {
    const { door, ids } = this.#options;
    const { id, state } = await ids.next(ACCOUNTS_WORKSPACE, 'workspace', async (next) => {
      const command = { command: 'OpenWorkspace', workspace: next, kind: 'client', owner: null, ...input } as const;
      const actor = masterOf(next, trace);
      const written = await door.execute(workspace, streams.workspace(next), command, actor, { isNew: true });
      return { id: next, state: written.state };
    });
    const { secret, position } = await this.issueMasterKey(masterOf(id, trace), 'master');
    return { workspace: id, state, secret, position };
  }

  /** Issues a further master key of the actor's workspace; the others stay. Throws `not-found`, `access-denied`. */
  async issueMasterKey(actor: Actor, name: string): Promise<IssuedMasterKey> {
    const { door, ids, speller } = this.#options;
    await this.client(actor);
    onlyMaster(actor);
    const plain = newSecret();
    return ids.next(actor.workspace, 'key', async (id) => {
      const command = {
        command: 'IssueKey',
        workspace: actor.workspace,
        key: id,
        name,
        mode: 'live',
        secretHash: sha256(plain),
        rateLimit: 0,
        expiresAt: null,
        dialect: 'chatapi',
      } as const;
      const stream = streams.key(actor.workspace, id);
      const { state, position } = await door.execute(key, stream, command, actor, { isNew: true });
      const secret = spellSecret(prefix, speller, { kind: idKinds.key, workspace: actor.workspace, id }, plain);
      return { key: id, secret, state, position };
    });
  }

  /** Revokes a master key. Throws `not-found`, `access-denied`. */
  async revokeMasterKey(actor: Actor, id: number): Promise<bigint | null> {
    onlyMaster(actor);
    const command = { command: 'RevokeKey', workspace: actor.workspace, key: id } as const;
    return (await this.#options.door.execute(key, streams.key(actor.workspace, id), command, actor)).position;
  }

  /** The actor's workspace. Throws `not-found`. */
  async client(actor: Pick<Actor, 'workspace'>): Promise<WorkspaceState> {
    const state = await this.#options.door.load(workspace, streams.workspace(actor.workspace));
    if (!state.exists) throw new DomainError('not-found');
    return state;
  }

  /** Changes the actor's workspace; switched off, all its keys fail. Throws `not-found`, `access-denied`. */
  async changeClient(
    actor: Actor,
    changes: {
      readonly name?: string | undefined;
      readonly description?: string | null | undefined;
      readonly isActive?: boolean | undefined;
    },
  ): Promise<Changed<WorkspaceState>> {
    onlyMaster(actor);
    const { name, description, isActive } = changes;
    const command = {
      command: 'ChangeWorkspace',
      workspace: actor.workspace,
      ...(name !== undefined && { name }),
      ...(description !== undefined && { description }),
      ...(isActive !== undefined && { isActive }),
    } as const;
    return this.#options.door.execute(workspace, streams.workspace(actor.workspace), command, actor);
  }

  /**
   * The workspace behind a presented master key. Answers at once, without a promise, when all it needs is in memory.
   * Throws `credential-invalid`, for a client that is switched off too, and `credential-expired`.
   */
  authenticateMasterKey(presented: string): AuthenticatedMaster | Promise<AuthenticatedMaster> {
    const { door, speller } = this.#options;
    const parts = readSecret(prefix, speller, idKinds.key, presented);
    const known = door.states.peek<KeyState>(streams.key(parts.workspace, parts.id));
    const home = door.states.peek<WorkspaceState>(streams.workspace(parts.workspace));
    return known && home ? this.#judge(known.state, home.state, parts) : this.#authenticateLoading(parts);
  }

  async #authenticateLoading(parts: PresentedSecret): Promise<AuthenticatedMaster> {
    const { door } = this.#options;
    const state = await door.load(key, streams.key(parts.workspace, parts.id));
    const home = await door.load(workspace, streams.workspace(parts.workspace));
    return this.#judge(state, home, parts);
  }

  #judge(state: KeyState, home: WorkspaceState, parts: PresentedSecret): AuthenticatedMaster {
    // Hashes of secrets of 256 bits: how long the comparison takes tells nothing of use.
    const holds = state.exists && state.dialect === 'chatapi' && sha256(parts.secret) === state.secretHash;
    if (!holds || !home.exists || !home.isActive) throw new DomainError('credential-invalid');
    if (state.expiresAt !== null && state.expiresAt <= this.#options.door.clock.now())
      throw new DomainError('credential-expired');
    return { workspace: parts.workspace, account: SERVICE_ACCOUNT, key: parts.id };
  }
}

function masterOf(id: number, trace: string | undefined): Actor {
  const actor = { workspace: id, account: SERVICE_ACCOUNT, dialect: 'chatapi' };
  return trace === undefined ? actor : { ...actor, trace };
}

/** Throws `access-denied` for anybody but the service account. */
export function onlyMaster(actor: Actor): void {
  if (actor.account !== SERVICE_ACCOUNT) throw new DomainError('access-denied');
}
