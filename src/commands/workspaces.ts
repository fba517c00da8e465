import type { EventData } from '../../schemas/index.ts';
import type { Aggregate } from '../domain/aggregate.ts';
import { type ConnectorState, connector } from '../domain/connector.ts';
import { DomainError } from '../domain/errors.ts';
import { type KeyState, key } from '../domain/key.ts';
import { type TemplateState, template } from '../domain/template.ts';
import { type WorkspaceState, workspace } from '../domain/workspace.ts';
import { BoundedMap } from '../platform/bounded-map.ts';
import { hmac, type Sealer, sha256 } from '../platform/crypto.ts';
import type { IdSpeller } from '../platform/ids.ts';
import { type IdAllocator, type IdKind, idKinds } from './allocator.ts';
import type { Actor, CommandDoor } from './door.ts';
import type { Idempotency, Keyed } from './idempotency.ts';
import type { ConnectorType, Credentials } from './providers.ts';
import type { PresentedSecret } from './secrets.ts';
import { ACCOUNTS_WORKSPACE, SERVICE_ACCOUNT, streams } from './streams.ts';

/** What the commands on workspaces need. */
export interface WorkspaceCommandsOptions {
  readonly door: CommandDoor;
  readonly ids: IdAllocator;
  readonly idempotency: Idempotency;
  readonly sealer: Sealer;
  readonly speller: IdSpeller;
  /** Key of hashes of what providers call senders. */
  readonly nameKey: Buffer;
}

/** A key as its maker gets it; `secret` is shown here only. */
export interface IssuedKey {
  readonly key: number;
  /** `pk_live_<32 hex>_sk_<64 hex>` */
  readonly secret: string;
  readonly state: KeyState;
  readonly position: bigint | null;
}

/** A key that was presented and holds. */
export interface AuthenticatedKey {
  readonly workspace: number;
  readonly key: number;
  readonly rateLimit: number;
  /** The account that owns the workspace: whose tier and quota count. */
  readonly owner: { readonly workspace: number; readonly account: number };
}

/** What a command left behind, and where it stands in the log (null when there was nothing to do). */
export interface Changed<State> {
  readonly state: State;
  readonly position: bigint | null;
}

type Changes<T> = { readonly [K in keyof T]?: T[K] | undefined };

interface SeenKey {
  readonly parts: PresentedSecret;
  readonly state: KeyState;
  readonly home: WorkspaceState;
  readonly key: AuthenticatedKey;
}

/** How something is made, by its number. `stateOf` throws when it is gone. */
interface Creation<State, Command> {
  readonly aggregate: Aggregate<State, Command>;
  readonly streamOf: (id: number) => string;
  readonly commandOf: (id: number) => Command;
  readonly stateOf: (id: number) => Promise<State>;
}

const maxSeenKeys = 10_000;

/** Commands on projects and on what lives in them: keys, connectors, templates. */
export class WorkspaceCommands {
  readonly #options: WorkspaceCommandsOptions;
  /** Secrets that were found to hold, and for which states: they are not read and hashed again at every request. */
  readonly #seenKeys = new BoundedMap<string, SeenKey>(maxSeenKeys);

  constructor(options: WorkspaceCommandsOptions) {
    this.#options = options;
  }

  /** Opens the workspaces that nobody owns, where they are not there yet. */
  async openSystemWorkspaces(all: readonly { workspace: number; name: string }[]): Promise<void> {
    const { door } = this.#options;
    for (const { workspace: id, name } of all) {
      const { exists } = await door.load(workspace, streams.workspace(id));
      if (exists) continue;
      const command = {
        command: 'OpenWorkspace',
        workspace: id,
        kind: 'system',
        owner: null,
        name,
        description: null,
      } as const;
      try {
        await door.execute(workspace, streams.workspace(id), command, { workspace: id, account: SERVICE_ACCOUNT });
      } catch (error) {
        // Another process was quicker.
        if (!(error instanceof DomainError) || error.code !== 'already-exists') throw error;
      }
    }
  }

  /** Opens a project, owned by the actor. Throws `not-found` when what the key made is gone. */
  async openProject(
    actor: Actor,
    input: { name: string; description: string | null },
    keyed?: Keyed,
  ): Promise<Changed<WorkspaceState> & { workspace: number }> {
    const owner = { workspace: actor.workspace, account: actor.account };
    const { id, ...opened } = await this.#createOnce(actor, keyed, ACCOUNTS_WORKSPACE, 'workspace', {
      aggregate: workspace,
      streamOf: streams.workspace,
      commandOf: (id) => ({ command: 'OpenWorkspace', workspace: id, kind: 'project', owner, ...input }) as const,
      stateOf: (id) => this.workspace(id),
    });
    return { workspace: id, ...opened };
  }

  /** State of a workspace; throws `not-found` for none and for a deleted one. */
  async workspace(id: number): Promise<WorkspaceState> {
    const state = await this.#options.door.load(workspace, streams.workspace(id));
    if (!state.exists) throw new DomainError('not-found');
    return state;
  }

  /** The workspace, when the actor owns it. Throws `not-found`, and `access-denied` when it is somebody else's. */
  async ownedBy(actor: Actor, id: number): Promise<WorkspaceState> {
    const state = await this.workspace(id);
    if (state.kind !== 'project') throw new DomainError('not-found');
    if (state.owner?.workspace !== actor.workspace || state.owner.account !== actor.account)
      throw new DomainError('access-denied');
    return state;
  }

  async changeProject(
    actor: Actor,
    id: number,
    changes: Changes<{ name: string; description: string | null }>,
  ): Promise<Changed<WorkspaceState>> {
    const command = { command: 'ChangeWorkspace', workspace: id, ...given(changes) } as const;
    return this.#options.door.execute(workspace, streams.workspace(id), command, actor);
  }

  /** Answers the position. Throws `not-found`. */
  async deleteProject(actor: Actor, id: number): Promise<bigint | null> {
    const command = { command: 'DeleteWorkspace', workspace: id } as const;
    return (await this.#options.door.execute(workspace, streams.workspace(id), command, actor)).position;
  }

  /**
   * Issues a key. `rateLimit` is in messages an hour. Who repeats the request is told the same secret. Throws `not-found` when
   * what the key made is gone.
   */
  async issueKey(
    actor: Actor,
    workspaceId: number,
    input: { name: string; rateLimit: number; expiresAt: number | null },
    keyed?: Keyed,
  ): Promise<IssuedKey> {
    const { door, idempotency, speller } = this.#options;
    const secret = idempotency.secretBytes(actor, keyed).toString('hex');
    const secretHash = sha256(secret);
    const streamOf = (id: number) => streams.key(workspaceId, id);
    const { id, ...issued } = await this.#createOnce(actor, keyed, workspaceId, 'key', {
      aggregate: key,
      streamOf,
      commandOf: (id) =>
        ({ command: 'IssueKey', workspace: workspaceId, key: id, mode: 'live', secretHash, ...input }) as const,
      stateOf: async (id) => {
        const state = await door.load(key, streamOf(id));
        if (!state.exists) throw new DomainError('not-found');
        return state;
      },
    });
    const lookup = speller.spellHex({ kind: idKinds.key, workspace: workspaceId, id });
    return { key: id, secret: `pk_live_${lookup}_sk_${secret}`, ...issued };
  }

  /** Answers the position. Throws `not-found`. */
  async revokeKey(actor: Actor, workspaceId: number, id: number): Promise<bigint | null> {
    const command = { command: 'RevokeKey', workspace: workspaceId, key: id } as const;
    return (await this.#options.door.execute(key, streams.key(workspaceId, id), command, actor)).position;
  }

  /**
   * The key behind a presented secret. Answers at once, without a promise, when all it needs is in memory.
   * Throws `credential-invalid` and `credential-expired`.
   */
  authenticate(presented: string): AuthenticatedKey | Promise<AuthenticatedKey> {
    const { door } = this.#options;
    const seen = this.#seenKeys.get(presented);
    const parts = seen?.parts ?? this.#readKey(presented);
    const known = door.states.peek<KeyState>(streams.key(parts.workspace, parts.id));
    const home = door.states.peek<WorkspaceState>(streams.workspace(parts.workspace));
    if (!known || !home) return this.#authenticateLoading(parts);
    // Of states that are the very same, only the clock can change the answer.
    if (seen && seen.state === known.state && seen.home === home.state) {
      this.#refuseExpired(known.state);
      return seen.key;
    }
    const authenticated = this.#judge(known.state, home.state, parts);
    this.#seenKeys.set(presented, { parts, state: known.state, home: home.state, key: authenticated });
    return authenticated;
  }

  async #authenticateLoading(parts: PresentedSecret): Promise<AuthenticatedKey> {
    const { door } = this.#options;
    const state = await door.load(key, streams.key(parts.workspace, parts.id));
    const home = await door.load(workspace, streams.workspace(parts.workspace));
    return this.#judge(state, home, parts);
  }

  #readKey(presented: string): PresentedSecret {
    const match = /^pk_(live|test)_([0-9a-f]{32})_sk_([0-9a-f]{64})$/.exec(presented);
    const [, , lookup, secret] = match ?? [];
    const parts = lookup ? this.#options.speller.readHex(lookup) : null;
    if (!secret || parts?.kind !== idKinds.key) throw new DomainError('credential-invalid');
    return { workspace: parts.workspace, id: parts.id, secret };
  }

  #judge(state: KeyState, home: WorkspaceState, parts: PresentedSecret): AuthenticatedKey {
    if (!state.exists || !home.exists || !home.owner) throw new DomainError('credential-invalid');
    // Hashes of secrets of 256 bits: how long the comparison takes tells nothing of use.
    if (sha256(parts.secret) !== state.secretHash) throw new DomainError('credential-invalid');
    this.#refuseExpired(state);
    return { workspace: parts.workspace, key: parts.id, rateLimit: state.rateLimit, owner: home.owner };
  }

  #refuseExpired({ expiresAt }: KeyState): void {
    if (expiresAt !== null && expiresAt <= this.#options.door.clock.now()) throw new DomainError('credential-expired');
  }

  /**
   * Creates a connector; its credentials are sealed before they become an event. Throws `connector-not-found` when what the key
   * made is gone.
   */
  async createConnector(
    actor: Actor,
    workspaceId: number,
    input: { connectorType: ConnectorType; name: string; credentials: Credentials },
    keyed?: Keyed,
  ): Promise<Changed<ConnectorState> & { connector: number }> {
    const { connectorType, name, credentials } = input;
    const { id, ...created } = await this.#createOnce(actor, keyed, workspaceId, 'connector', {
      aggregate: connector,
      streamOf: (id) => streams.connector(workspaceId, id),
      commandOf: (id) =>
        ({
          command: 'CreateConnector',
          workspace: workspaceId,
          connector: id,
          connectorType,
          name,
          ...this.#sealed(connectorType, credentials),
        }) as const,
      stateOf: (id) => this.connector(workspaceId, id),
    });
    return { connector: id, ...created };
  }

  /** State of a connector; throws `connector-not-found`. */
  async connector(workspaceId: number, id: number): Promise<ConnectorState> {
    const state = await this.#options.door.load(connector, streams.connector(workspaceId, id));
    if (!state.exists) throw new DomainError('connector-not-found');
    return state;
  }

  /** A connector's credentials in clear. Throws `connector-not-found`. */
  async credentials(workspaceId: number, id: number): Promise<Credentials> {
    return this.openCredentials(await this.connector(workspaceId, id));
  }

  /** Opens the seal of a connector's credentials. */
  openCredentials(state: ConnectorState): Credentials {
    return JSON.parse(this.#options.sealer.open(state.sealed)) as Credentials;
  }

  async changeConnector(
    actor: Actor,
    workspaceId: number,
    id: number,
    changes: Changes<{ name: string; isActive: boolean; credentials: Credentials }>,
  ): Promise<Changed<ConnectorState>> {
    const { door } = this.#options;
    const { credentials, ...plain } = changes;
    const { connectorType } = await this.connector(workspaceId, id);
    const command = {
      command: 'ChangeConnector',
      workspace: workspaceId,
      connector: id,
      ...given(plain),
      ...(credentials && this.#sealed(connectorType, credentials)),
    } as const;
    return door.execute(connector, streams.connector(workspaceId, id), command, actor);
  }

  /** Answers the position. Throws `connector-not-found`. */
  async deleteConnector(actor: Actor, workspaceId: number, id: number): Promise<bigint | null> {
    const command = { command: 'DeleteConnector', workspace: workspaceId, connector: id } as const;
    return (await this.#options.door.execute(connector, streams.connector(workspaceId, id), command, actor)).position;
  }

  /** What a receipt calls a sender, as it stands in events and tables. */
  senderHash(connectorType: ConnectorType, sender: string): string {
    return hmac(this.#options.nameKey, 'sender', connectorType, sender).toString('base64url');
  }

  /** Throws `template-not-found` when what the key made is gone. */
  async createTemplate(
    actor: Actor,
    workspaceId: number,
    input: Pick<EventData<'TemplateCreated'>, 'name' | 'connectorType' | 'content' | 'variables'>,
    keyed?: Keyed,
  ): Promise<Changed<TemplateState> & { template: number }> {
    const { id, ...created } = await this.#createOnce(actor, keyed, workspaceId, 'template', {
      aggregate: template,
      streamOf: (id) => streams.template(workspaceId, id),
      commandOf: (id) => ({ command: 'CreateTemplate', workspace: workspaceId, template: id, ...input }) as const,
      stateOf: (id) => this.template(workspaceId, id),
    });
    return { template: id, ...created };
  }

  /** State of a template; throws `template-not-found`. */
  async template(workspaceId: number, id: number): Promise<TemplateState> {
    const state = await this.#options.door.load(template, streams.template(workspaceId, id));
    if (!state.exists) throw new DomainError('template-not-found');
    return state;
  }

  async changeTemplate(
    actor: Actor,
    workspaceId: number,
    id: number,
    changes: Changes<{ name: string; content: string; variables: string[]; isActive: boolean }>,
  ): Promise<Changed<TemplateState>> {
    const command = { command: 'ChangeTemplate', workspace: workspaceId, template: id, ...given(changes) } as const;
    return this.#options.door.execute(template, streams.template(workspaceId, id), command, actor);
  }

  /** Answers the position. Throws `template-not-found`. */
  async deleteTemplate(actor: Actor, workspaceId: number, id: number): Promise<bigint | null> {
    const command = { command: 'DeleteTemplate', workspace: workspaceId, template: id } as const;
    return (await this.#options.door.execute(template, streams.template(workspaceId, id), command, actor)).position;
  }

  /** Makes something under the next number of its kind, once per key; a repeat is answered with it as it is now. */
  #createOnce<State, Command>(
    actor: Actor,
    keyed: Keyed | undefined,
    workspaceId: number,
    kind: IdKind,
    { aggregate, streamOf, commandOf, stateOf }: Creation<State, Command>,
  ): Promise<Changed<State> & { id: number }> {
    const { door, ids, idempotency } = this.#options;
    return idempotency.once<{ id: number }, Changed<State> & { id: number }>(actor, keyed, {
      make: (claims) =>
        ids.next(workspaceId, kind, async (id) => {
          const options = { isNew: true, claims: claims({ id }) };
          const { state, position } = await door.execute(aggregate, streamOf(id), commandOf(id), actor, options);
          return { id, state, position };
        }),
      replay: async ({ id }) => ({ id, state: await stateOf(id), position: null }),
    });
  }

  #sealed(connectorType: ConnectorType, credentials: Credentials): { sealed: string; senderHash: string | null } {
    const sender = connectorType === 'whatsapp' ? credentials.phoneNumberId : undefined;
    return {
      sealed: this.#options.sealer.seal(JSON.stringify(credentials)),
      senderHash: sender === undefined ? null : this.senderHash(connectorType, sender),
    };
  }
}

/** The fields that were given: an event holds no `undefined`. */
function given<T extends object>(changes: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
