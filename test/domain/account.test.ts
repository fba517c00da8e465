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

t.test('what is known afterwards', async (t) => {
  const past = [
    opened,
    event('IdentifierAttached', { ...ref, kind: 'email', value: 'A@b.c' }),
    event('PasswordSet', { ...ref, hash: 'h' }),
    event('ProfileChanged', { ...ref, displayName: 'Ada' }),
  ];
  const known = { exists: true, email: 'A@b.c', passwordHash: 'h', displayName: 'Ada', tier: null, openedAt: 1 };
  t.strictSame(stateAfter(account, past), known);
  t.strictSame(stateAfter(account, [...past, event('ProfileChanged', ref)]), known, 'an absent field changes nothing');
  t.equal(stateAfter(account, [...past, event('ProfileChanged', { ...ref, displayName: null })]).displayName, null);
  const phone = event('IdentifierAttached', { ...ref, kind: 'phone', value: '+49' });
  t.equal(stateAfter(account, [...past, phone]).email, 'A@b.c');
});
