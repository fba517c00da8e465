/** Random commands, for properties of the rules. Few different values, so that they meet. */
import fc from 'fast-check';
import { connectorTypes, identifierKinds, tiers } from '../../schemas/index.ts';
import type { AccountCommand } from '../../src/domain/account.ts';
import type { ConnectorCommand } from '../../src/domain/connector.ts';
import type { DispatchCommand } from '../../src/domain/dispatch.ts';
import type { KeyCommand } from '../../src/domain/key.ts';
import type { SessionCommand } from '../../src/domain/session.ts';
import type { TemplateCommand } from '../../src/domain/template.ts';
import type { WorkspaceCommand } from '../../src/domain/workspace.ts';

/** An id as schemas allow it. */
export const id = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constant(2_147_483_647));
/** Milliseconds since the epoch. */
export const millis = fc.integer({ min: 0, max: 4_102_444_800_000 });
/** Any text, unpaired surrogates and NUL among it. */
export const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('', '\0', '\ud800', '{{a}}'));
/** A reference to an account. */
export const accountRef = fc.record({ workspace: id, account: id });
/** A connector type. */
export const connectorType = fc.constantFrom(...connectorTypes);

const hash = fc.constantFrom('a', 'b', 'c', 'd', 'e');
const externalId = fc.constantFrom('x1', 'x2', 'x3');
const attempt = fc.integer({ min: 0, max: 4 });
const optional = { requiredKeys: ['command', 'workspace'] } as const;

function some<T>(command: fc.Arbitrary<T>): fc.Arbitrary<T[]> {
  return fc.array(command, { maxLength: 12 });
}

const anAccount = { workspace: id, account: id };
const identifierKind = fc.constantFrom(...identifierKinds);
const identifier = fc.record({ kind: identifierKind, value: text, claim: text }, { requiredKeys: ['kind', 'value'] });
const profile = fc.record(
  {
    displayName: fc.option(text),
    givenName: fc.option(text),
    familyName: fc.option(text),
    job: fc.option(text),
    bio: fc.option(text),
    avatar: fc.option(id),
  },
  { requiredKeys: [] },
);
const scopedKey = {
  secretHash: text,
  sealed: fc.option(text),
  permissions: fc.option(fc.array(text, { maxLength: 3 })),
  expiresAt: fc.option(millis),
};

const openAccount = fc.record(
  {
    command: fc.constant('OpenAccount' as const),
    workspace: id,
    account: id,
    kind: fc.constantFrom('person', 'bot', 'service'),
    email: text,
    identifiers: fc.array(identifier, { maxLength: 3 }),
    passwordHash: text,
    displayName: fc.option(text),
    profile,
    scopedKey: fc.record(scopedKey),
  },
  { requiredKeys: ['command', 'workspace', 'account', 'kind'] },
);

/** Commands of one account, nearly always opened first. */
export const accountCommands: fc.Arbitrary<AccountCommand[]> = fc
  .tuple(
    openAccount,
    some<AccountCommand>(
      fc.oneof(
        openAccount,
        fc.record({
          command: fc.constant('ChangeTier' as const),
          workspace: id,
          account: id,
          tier: fc.constantFrom(...tiers),
        }),
        {
          weight: 3,
          arbitrary: fc.record(
            {
              command: fc.constant('ChangeAccount' as const),
              ...anAccount,
              identifiers: fc.array(identifier, { maxLength: 2 }),
              passwordHash: text,
              profile,
              active: fc.boolean(),
            },
            { requiredKeys: ['command', 'workspace', 'account'] },
          ),
        },
        {
          weight: 3,
          arbitrary: fc.record({
            command: fc.constant('StartVerification' as const),
            ...anAccount,
            kind: fc.constant('email' as const),
            codeHash: fc.constantFrom('a', 'b'),
          }),
        },
        {
          weight: 3,
          arbitrary: fc.record({
            command: fc.constant('Verify' as const),
            ...anAccount,
            kind: fc.constant('email' as const),
            codeHash: fc.constantFrom('a', 'b'),
          }),
        },
        fc.record({ command: fc.constant('IssueScopedKey' as const), ...anAccount, ...scopedKey }),
        fc.record({ command: fc.constant('RevokeScopedKey' as const), ...anAccount }),
        fc.record({
          command: fc.constant('DeleteAccount' as const),
          ...anAccount,
          messages: fc.constantFrom('keep', 'erase'),
        }),
      ),
    ),
    fc.integer({ min: 0, max: 5 }),
  )
  .map(([open, rest, at]) => (at === 5 ? rest : [...rest.slice(0, at % 2), open, ...rest.slice(at % 2)]));

/** Commands of one session. */
export const sessionCommands: fc.Arbitrary<SessionCommand[]> = some(
  fc.oneof(
    fc.record({
      command: fc.constant('StartSession' as const),
      workspace: id,
      account: id,
      session: fc.constant('s'),
      refreshHash: hash,
      expiresAt: millis,
      login: fc.boolean(),
    }),
    fc.record({
      command: fc.constant('RefreshSession' as const),
      session: fc.constant('s'),
      presentedHash: hash,
      nextHash: hash,
      now: millis,
      nextExpiresAt: millis,
    }),
    fc.record({ command: fc.constant('EndSession' as const), session: fc.constant('s') }),
  ),
);

/** Commands of one workspace. */
export const workspaceCommands: fc.Arbitrary<WorkspaceCommand[]> = some(
  fc.oneof(
    fc.record({
      command: fc.constant('OpenWorkspace' as const),
      workspace: id,
      kind: fc.constantFrom('system', 'project', 'client'),
      owner: fc.option(accountRef),
      name: text,
      description: fc.option(text),
    }),
    fc.record(
      { command: fc.constant('ChangeWorkspace' as const), workspace: id, name: text, description: fc.option(text) },
      { requiredKeys: [...optional.requiredKeys] },
    ),
    fc.record({ command: fc.constant('DeleteWorkspace' as const), workspace: id }),
  ),
);

/** Commands of one key. */
export const keyCommands: fc.Arbitrary<KeyCommand[]> = some(
  fc.oneof(
    fc.record({
      command: fc.constant('IssueKey' as const),
      workspace: id,
      key: id,
      name: text,
      mode: fc.constantFrom('live', 'test'),
      secretHash: text,
      rateLimit: fc.integer({ min: 1 }),
      expiresAt: fc.option(millis),
    }),
    fc.record({ command: fc.constant('RevokeKey' as const), workspace: id, key: id }),
  ),
);

/** Commands of one connector. */
export const connectorCommands: fc.Arbitrary<ConnectorCommand[]> = some(
  fc.oneof(
    fc.record({
      command: fc.constant('CreateConnector' as const),
      workspace: id,
      connector: id,
      connectorType,
      name: text,
      sealed: text,
      senderHash: fc.option(text),
    }),
    fc.record(
      {
        command: fc.constant('ChangeConnector' as const),
        workspace: id,
        connector: id,
        name: text,
        isActive: fc.boolean(),
        sealed: text,
        senderHash: fc.option(text),
      },
      { requiredKeys: [...optional.requiredKeys, 'connector'] },
    ),
    fc.record({ command: fc.constant('DeleteConnector' as const), workspace: id, connector: id }),
  ),
);

/** Commands of one template. */
export const templateCommands: fc.Arbitrary<TemplateCommand[]> = some(
  fc.oneof(
    fc.record({
      command: fc.constant('CreateTemplate' as const),
      workspace: id,
      template: id,
      name: text,
      connectorType,
      content: text,
      variables: fc.array(text),
    }),
    fc.record(
      {
        command: fc.constant('ChangeTemplate' as const),
        workspace: id,
        template: id,
        name: text,
        content: text,
        variables: fc.array(text),
        isActive: fc.boolean(),
      },
      { requiredKeys: [...optional.requiredKeys, 'template'] },
    ),
    fc.record({ command: fc.constant('DeleteTemplate' as const), workspace: id, template: id }),
  ),
);

/** Commands of one dispatch; nearly always accepted first. */
export const dispatchCommands: fc.Arbitrary<DispatchCommand[]> = fc
  .tuple(
    fc.record({
      command: fc.constant('AcceptDispatch' as const),
      workspace: id,
      dispatch: fc.constant('d'),
      owner: accountRef,
      key: id,
      connector: id,
      connectorType,
      template: id,
      to: text,
      text,
    }),
    some<DispatchCommand>(
      fc.oneof(
        fc.record({
          command: fc.constant('RecordSent' as const),
          externalId,
          sentAt: millis,
          attempt,
          delivered: fc.boolean(),
        }),
        fc.record({ command: fc.constant('RecordDeferred' as const), attempt, retryAt: millis, error: text }),
        fc.record(
          { command: fc.constant('RecordFailed' as const), attempt, error: text },
          { requiredKeys: ['command', 'error'] },
        ),
        fc.record({
          command: fc.constant('RecordReceipt' as const),
          status: fc.constantFrom('sent', 'delivered', 'failed'),
          externalId: fc.option(externalId),
          error: fc.option(text),
          now: millis,
        }),
      ),
    ),
    fc.integer({ min: 0, max: 12 }),
  )
  .map(([accept, rest, at]) => (at === 12 ? rest : [...rest.slice(0, at % 3), accept, ...rest.slice(at % 3)]));
