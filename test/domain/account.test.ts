/** The rules of accounts. */
import t from 'tap';
import { event, tiers } from '../../schemas/index.ts';
import { account } from '../../src/domain/account.ts';
import { given, stateAfter } from './given.ts';

const ref = { workspace: 1, account: 3 };
const opened = event('AccountOpened', { ...ref, kind: 'person' });

t.test('opening', async (t) => {
  given(t, account)
    .when({ command: 'OpenAccount', ...ref, kind: 'person', email: 'A@b.c', passwordHash: 'h', displayName: 'Ada' })
    .yields([
      opened,
      event('IdentifierAttached', { ...ref, kind: 'email', value: 'A@b.c' }),
      event('PasswordSet', { ...ref, hash: 'h' }),
      event('ProfileChanged', { ...ref, displayName: 'Ada' }),
    ]);
  given(t, account)
    .when({ command: 'OpenAccount', ...ref, kind: 'bot' })
    .yields([event('AccountOpened', { ...ref, kind: 'bot' })], 'identifier, password and name are not needed');
  given(t, account)
    .when({ command: 'OpenAccount', ...ref, kind: 'person', displayName: null })
    .yields([opened]);
  given(t, account, [opened])
    .when({ command: 'OpenAccount', ...ref, kind: 'person' })
    .yields('already-exists');
});

t.test('tiers', async (t) => {
  for (const tier of tiers) {
    const changed = event('TierChanged', { ...ref, tier });
    const command = { command: 'ChangeTier', ...ref, tier } as const;
    given(t, account).when(command).yields('not-found');
    given(t, account, [opened]).when(command).yields([changed]);
    given(t, account, [opened, changed]).when(command).yields([]);
  }
});

t.test('a name where there is none', async (t) => {
  const named = event('ProfileChanged', { ...ref, displayName: 'Ada' });
  const name = (displayName: string) => ({ command: 'NameAccount', ...ref, displayName }) as const;
  given(t, account).when(name('Ada')).yields('not-found');
  given(t, account, [opened]).when(name('Ada')).yields([named]);
  given(t, account, [opened, event('ProfileChanged', { ...ref, displayName: '' })])
    .when(name('Ada'))
    .yields([named]);
  for (const own of [{ displayName: 'Bo' }, { givenName: 'Bo' }, { familyName: 'Bo' }])
    given(t, account, [opened, event('ProfileChanged', { ...ref, ...own })])
      .when(name('Ada'))
      .yields([]);
});

t.test('opening with all that a dialect asks for, in one commit', async (t) => {
  const scopedKey = { secretHash: 'h', sealed: null, permissions: null, expiresAt: 9 };
  given(t, account)
    .when({
      command: 'OpenAccount',
      ...ref,
      kind: 'person',
      identifiers: [
        { kind: 'email', value: 'A@b.c', claim: 'e1' },
        { kind: 'username', value: 'ada', claim: 'u1' },
      ],
      profile: { displayName: 'Ada L', job: 'poet' },
      scopedKey,
    })
    .yields([
      opened,
      event('IdentifierAttached', { ...ref, kind: 'email', value: 'A@b.c', claim: 'e1' }),
      event('IdentifierAttached', { ...ref, kind: 'username', value: 'ada', claim: 'u1' }),
      event('ProfileChanged', { ...ref, displayName: 'Ada L', job: 'poet' }),
      event('ScopedKeyIssued', { ...ref, ...scopedKey }),
    ]);
  given(t, account, [opened, event('AccountDeleted', { ...ref, messages: 'keep' })])
    .when({ command: 'OpenAccount', ...ref, kind: 'person' })
    .yields('already-exists', 'a number is used once');
});

t.test('changing', async (t) => {
  const email = event('IdentifierAttached', { ...ref, kind: 'email', value: 'A@b.c', claim: 'e1' });
  const verified = event('IdentifierVerified', { ...ref, kind: 'email' });
  const past = [opened, email, verified];
  given(t, account)
    .when({ command: 'ChangeAccount', ...ref, active: false })
    .yields('not-found');
  given(t, account, past)
    .when({ command: 'ChangeAccount', ...ref, identifiers: [{ kind: 'email', value: 'A@b.c', claim: 'e1' }] })
    .yields([], 'what is the same stays, verified too');
  const next = event('IdentifierAttached', { ...ref, kind: 'email', value: 'x@b.c', claim: 'e2' });
  given(t, account, past)
    .when({
      command: 'ChangeAccount',
      ...ref,
      identifiers: [{ kind: 'email', value: 'x@b.c', claim: 'e2' }],
      passwordHash: 'p',
      profile: { bio: null },
      active: false,
    })
    .yields([
      next,
      event('PasswordSet', { ...ref, hash: 'p' }),
      event('ProfileChanged', { ...ref, bio: null }),
      event('AccountDeactivated', ref),
    ]);
  t.match(stateAfter(account, past), { claims: { email: 'e1' }, verified: ['email'] });
  t.match(stateAfter(account, [...past, next]), { email: 'x@b.c', claims: { email: 'e2' }, verified: [] });
  given(t, account, [...past, event('AccountDeactivated', ref)])
    .when({ command: 'ChangeAccount', ...ref, active: true })
    .yields([event('AccountActivated', ref)]);
});

t.test('scoped keys: one at a time', async (t) => {
  const data = { ...ref, secretHash: 'h', sealed: null, permissions: ['read_messages'], expiresAt: 9 };
  const issued = event('ScopedKeyIssued', data);
  const command = { command: 'IssueScopedKey', ...data } as const;
  given(t, account).when(command).yields('not-found');
  given(t, account, [opened]).when(command).yields([issued]);
  given(t, account, [opened, event('AccountDeactivated', ref)])
    .when(command)
    .yields('account-inactive');
  given(t, account, [opened])
    .when({ command: 'RevokeScopedKey', ...ref })
    .yields([]);
  const revoked = event('ScopedKeyRevoked', ref);
  given(t, account, [opened, issued])
    .when({ command: 'RevokeScopedKey', ...ref })
    .yields([revoked]);
  const again = event('ScopedKeyIssued', { ...data, secretHash: 'h2' });
  t.match(stateAfter(account, [opened, issued, again]).scopedKey, { secretHash: 'h2', expiresAt: 9, issuedAt: 3 });
  t.equal(stateAfter(account, [opened, issued, revoked]).scopedKey, null);
});

t.test('deletion leaves nothing of who it was', async (t) => {
  const deleted = event('AccountDeleted', { ...ref, messages: 'keep' });
  const past = [
    opened,
    event('IdentifierAttached', { ...ref, kind: 'email', value: 'A@b.c', claim: 'e1' }),
    event('PasswordSet', { ...ref, hash: 'h' }),
    event('ProfileChanged', { ...ref, displayName: 'Ada' }),
  ];
  given(t, account, past)
    .when({ command: 'DeleteAccount', ...ref, messages: 'keep' })
    .yields([deleted]);
  given(t, account, [...past, deleted])
    .when({ command: 'DeleteAccount', ...ref, messages: 'keep' })
    .yields('not-found');
  t.strictSame(stateAfter(account, [...past, deleted]), { ...account.initial, deleted: true, openedAt: 1 });
});

t.test('what is known afterwards', async (t) => {
  const past = [
    opened,
    event('IdentifierAttached', { ...ref, kind: 'email', value: 'A@b.c' }),
    event('PasswordSet', { ...ref, hash: 'h' }),
    event('ProfileChanged', { ...ref, displayName: 'Ada' }),
  ];
  const known = {
    ...account.initial,
    exists: true,
    active: true,
    email: 'A@b.c',
    passwordHash: 'h',
    displayName: 'Ada',
    openedAt: 1,
  };
  t.strictSame(stateAfter(account, past), known);
  t.strictSame(stateAfter(account, [...past, event('ProfileChanged', ref)]), known, 'an absent field changes nothing');
  t.equal(stateAfter(account, [...past, event('ProfileChanged', { ...ref, displayName: null })]).displayName, null);
  const phone = event('IdentifierAttached', { ...ref, kind: 'phone', value: '+49' });
  t.equal(stateAfter(account, [...past, phone]).email, 'A@b.c');
});
