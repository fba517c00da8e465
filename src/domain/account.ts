import { type DomainEvent, type EventData, event } from '../../schemas/index.ts';
import type { Aggregate, Happened } from './aggregate.ts';
import { DomainError } from './errors.ts';
import { changedProfile, emptyProfile, givenProfile, type Profile, type ProfileChanges } from './profile.ts';

type AccountRef = { readonly workspace: number; readonly account: number };

/** Service levels: limits and quotas follow from them. */
export type Tier = EventData<'TierChanged'>['tier'];

/** What an account can be found by. */
export type IdentifierKind = EventData<'IdentifierAttached'>['kind'];

/** An identifier to attach, and the name that the same commit claims for it. */
export interface Identifier {
  readonly kind: IdentifierKind;
  readonly value: string;
  readonly claim?: string;
}

/** The key that acts as an account. `secretHash` is the SHA-256 of the secret, hex. */
export type ScopedKey = Omit<EventData<'ScopedKeyIssued'>, keyof AccountRef>;

/** What is known of an account. Times are milliseconds since the epoch. */
export interface AccountState extends Profile {
  /** False before it was opened, and once it is deleted. */
  readonly exists: boolean;
  readonly deleted: boolean;
  readonly active: boolean;
  readonly kind: 'person' | 'bot' | 'service';
  readonly email: string | null;
  readonly username: string | null;
  readonly phone: string | null;
  /** The names that its identifiers hold, where the event told: released when one is replaced, all at deletion. */
  readonly claims: { readonly [K in IdentifierKind]?: string };
  readonly verified: readonly IdentifierKind[];
  /** HMACs of the codes that were sent last. */
  readonly codes: { readonly [K in IdentifierKind]?: string };
  readonly passwordHash: string | null;
  /** The scoped key that works; null for none. */
  readonly scopedKey: (ScopedKey & { readonly issuedAt: number }) | null;
  /** Null until set: the configured default applies. */
  readonly tier: Tier | null;
  readonly openedAt: number;
}

/** Commands of an account. */
export type AccountCommand =
  | (AccountRef & {
      readonly command: 'OpenAccount';
      readonly kind: 'person' | 'bot' | 'service';
      readonly email?: string;
      readonly identifiers?: readonly Identifier[];
      readonly passwordHash?: string;
      readonly displayName?: string | null;
      readonly profile?: ProfileChanges;
      readonly scopedKey?: ScopedKey;
    })
  /** All or nothing. An identifier that is the same already stays as it is, verified too; any profile given is an event. */
  | (AccountRef & {
      readonly command: 'ChangeAccount';
      readonly identifiers?: readonly Identifier[];
      readonly passwordHash?: string;
      readonly profile?: ProfileChanges;
      readonly active?: boolean;
    })
  /** Says what it is called, where its profile has no name: nothing to do where it has. */
  | (AccountRef & { readonly command: 'NameAccount'; readonly displayName: string })
  | (AccountRef & { readonly command: 'StartVerification'; readonly kind: IdentifierKind; readonly codeHash: string })
  /** No events when it is verified and the code is the right one. */
  | (AccountRef & { readonly command: 'Verify'; readonly kind: IdentifierKind; readonly codeHash: string })
  | (AccountRef & ScopedKey & { readonly command: 'IssueScopedKey' })
  | (AccountRef & { readonly command: 'RevokeScopedKey' })
  | (AccountRef & { readonly command: 'ChangeTier'; readonly tier: Tier })
  | (AccountRef & { readonly command: 'DeleteAccount'; readonly messages: 'keep' | 'erase' });

/**
 * The rules of accounts. Identifiers are unique by claims, which the command's door takes, and releases by `claims` of the
 * state that the command met.
 */
export const account: Aggregate<AccountState, AccountCommand> = {
  initial: {
    exists: false,
    deleted: false,
    active: false,
    kind: 'person',
    email: null,
    username: null,
    phone: null,
    claims: {},
    verified: [],
    codes: {},
    passwordHash: null,
    scopedKey: null,
    tier: null,
    openedAt: 0,
    ...emptyProfile,
  },

  decide(state, command) {
    if (command.command === 'OpenAccount') return open(state, command);
    if (!state.exists) throw new DomainError('not-found');
    const ref = { workspace: command.workspace, account: command.account };
    switch (command.command) {
      case 'ChangeAccount':
        return change(state, command);
      case 'NameAccount': {
        const { displayName } = command;
        const isNamed = state.displayName || state.givenName || state.familyName;
        return isNamed ? [] : [event('ProfileChanged', { ...ref, displayName })];
      }
      case 'StartVerification':
        if (state[command.kind] === null) throw new DomainError('not-found');
        return [event('VerificationStarted', { ...ref, kind: command.kind, codeHash: command.codeHash })];
      case 'Verify':
        if (state.codes[command.kind] !== command.codeHash) throw new DomainError('code-wrong');
        if (state.verified.includes(command.kind)) return [];
        return [event('IdentifierVerified', { ...ref, kind: command.kind })];
      case 'IssueScopedKey': {
        if (!state.active) throw new DomainError('account-inactive');
        const { command: _, ...data } = command;
        return [event('ScopedKeyIssued', data)];
      }
      case 'RevokeScopedKey':
        return state.scopedKey ? [event('ScopedKeyRevoked', ref)] : [];
      case 'ChangeTier':
        return state.tier === command.tier ? [] : [event('TierChanged', { ...ref, tier: command.tier })];
      case 'DeleteAccount':
        return [event('AccountDeleted', { ...ref, messages: command.messages })];
    }
  },

  evolve(state, happened) {
    switch (happened.type) {
      case 'AccountOpened':
        return { ...state, exists: true, active: true, kind: happened.data.kind, openedAt: happened.at };
      case 'PasswordSet':
        return { ...state, passwordHash: happened.data.hash };
      case 'ProfileChanged':
        return { ...state, ...changedProfile(state, happened.data) };
      case 'TierChanged':
        return { ...state, tier: happened.data.tier };
      case 'ScopedKeyIssued': {
        const { workspace: _, account: __, ...scopedKey } = happened.data;
        return { ...state, scopedKey: { ...scopedKey, issuedAt: happened.at } };
      }
      case 'ScopedKeyRevoked':
        return { ...state, scopedKey: null };
      case 'AccountDeactivated':
        return { ...state, active: false };
      case 'AccountActivated':
        return { ...state, active: true };
      case 'AccountDeleted':
        // Nothing of who it was stays in memory.
        return { ...account.initial, deleted: true, kind: state.kind, openedAt: state.openedAt };
      default:
        return evolveIdentifier(state, happened);
    }
  },
};

function evolveIdentifier(state: AccountState, happened: Happened): AccountState {
  switch (happened.type) {
    case 'IdentifierAttached': {
      const { kind, value, claim } = happened.data;
      const { [kind]: _, ...claims } = state.claims;
      const { [kind]: __, ...codes } = state.codes;
      return {
        ...state,
        [kind]: value,
        claims: claim === undefined ? claims : { ...claims, [kind]: claim },
        codes,
        verified: state.verified.filter((each) => each !== kind),
      };
    }
    case 'VerificationStarted': {
      const { kind, codeHash } = happened.data;
      const verified = state.verified.filter((each) => each !== kind);
      return { ...state, codes: { ...state.codes, [kind]: codeHash }, verified };
    }
    case 'IdentifierVerified':
      return { ...state, verified: [...state.verified, happened.data.kind] };
    default:
      return state;
  }
}

type Command<K extends AccountCommand['command']> = Extract<AccountCommand, { command: K }>;

function open(state: AccountState, command: Command<'OpenAccount'>): DomainEvent[] {
  if (state.exists || state.deleted) throw new DomainError('already-exists');
  const ref = { workspace: command.workspace, account: command.account };
  const { kind, email, identifiers = [], passwordHash, displayName, profile = {}, scopedKey } = command;
  const all = email === undefined ? identifiers : [{ kind: 'email', value: email } as const, ...identifiers];
  const said = givenProfile(displayName == null ? profile : { ...profile, displayName });
  const events: DomainEvent[] = [event('AccountOpened', { ...ref, kind })];
  for (const identifier of all) events.push(event('IdentifierAttached', { ...ref, ...identifier }));
  if (passwordHash !== undefined) events.push(event('PasswordSet', { ...ref, hash: passwordHash }));
  if (Object.keys(said).length > 0) events.push(event('ProfileChanged', { ...ref, ...said }));
  if (scopedKey) events.push(event('ScopedKeyIssued', { ...ref, ...scopedKey }));
  return events;
}

function change(state: AccountState, command: Command<'ChangeAccount'>): DomainEvent[] {
  const ref = { workspace: command.workspace, account: command.account };
  const { identifiers = [], passwordHash, profile, active } = command;
  const events: DomainEvent[] = [];
  for (const identifier of identifiers) {
    if (state[identifier.kind] === identifier.value) continue;
    events.push(event('IdentifierAttached', { ...ref, ...identifier }));
  }
  if (passwordHash !== undefined) events.push(event('PasswordSet', { ...ref, hash: passwordHash }));
  if (profile) events.push(event('ProfileChanged', { ...ref, ...givenProfile(profile) }));
  if (active !== undefined && active !== state.active) {
    events.push(event(active ? 'AccountActivated' : 'AccountDeactivated', ref));
  }
  return events;
}
