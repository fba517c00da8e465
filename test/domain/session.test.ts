/** Rotation of refresh tokens, the 30 s of grace, reuse (MessageJS sheet, section 4). */
import t from 'tap';
import { type DomainEvent, event } from '../../schemas/index.ts';
import { type SessionCommand, session } from '../../src/domain/session.ts';
import { given, type Past, stateAfter } from './given.ts';

const ref = { workspace: 1, account: 3, session: 's' };
const end = 1_000_000;
const start = { command: 'StartSession', ...ref, refreshHash: 'A', expiresAt: end, login: true } as const;
const started = event('SessionStarted', { ...ref, refreshHash: 'A', expiresAt: end, login: true });

const refresh = (presentedHash: string, nextHash: string, now: number): SessionCommand => ({
  command: 'RefreshSession',
  session: 's',
  presentedHash,
  nextHash,
  now,
  nextExpiresAt: now + end,
});
const refreshed = (previousHash: string, refreshHash: string, now: number): DomainEvent =>
  event('SessionRefreshed', { ...ref, refreshHash, previousHash, expiresAt: now + end });
const at = (past: DomainEvent, when: number): Past => ({ ...past, at: when });
const ended = (reason: 'logout' | 'token-reused') => event('SessionEnded', { ...ref, reason });

t.test('starting and ending', async (t) => {
  given(t, session).when(start).yields([started]);
  given(t, session, [started]).when(start).yields('already-exists', 'a session starts once');
  given(t, session, [started, ended('logout')])
    .when(start)
    .yields('already-exists', 'and never again');
  given(t, session, [started])
    .when({ command: 'EndSession', session: 's' })
    .yields([ended('logout')]);
  given(t, session, [started, ended('token-reused')])
    .when({ command: 'EndSession', session: 's' })
    .yields([]);
  given(t, session).when({ command: 'EndSession', session: 's' }).yields([]);
});

t.test('a token is rotated at use', async (t) => {
  given(t, session, [started])
    .when(refresh('A', 'B', 100))
    .yields([refreshed('A', 'B', 100)]);
  given(t, session, [started, at(refreshed('A', 'B', 100), 100)])
    .when(refresh('B', 'C', 90_000))
    .yields([refreshed('B', 'C', 90_000)]);
  given(t, session, [started])
    .when(refresh('X', 'B', 100))
    .yields('credential-invalid', 'a token nobody was given');
  given(t, session)
    .when(refresh('A', 'B', 100))
    .yields('session-ended');
});

t.test('a token has an end, which rotation moves', async (t) => {
  given(t, session, [started])
    .when(refresh('A', 'B', end - 1))
    .yields([refreshed('A', 'B', end - 1)]);
  given(t, session, [started])
    .when(refresh('A', 'B', end))
    .yields('session-ended');
  const moved = [started, at(refreshed('A', 'B', 500_000), 500_000)];
  given(t, session, moved)
    .when(refresh('B', 'C', end))
    .yields([refreshed('B', 'C', end)]);
  given(t, session, moved)
    .when(refresh('B', 'C', 500_000 + end))
    .yields('session-ended');
});

t.test('the old token again: a fresh pair within 30 s, the end of the session after', async (t) => {
  const past = [started, at(refreshed('A', 'B', 100), 100)];
  given(t, session, past)
    .when(refresh('A', 'C', 101))
    .yields([refreshed('B', 'C', 101)], 'the pair that was lost is replaced as well');
  given(t, session, past)
    .when(refresh('A', 'C', 30_100))
    .yields([refreshed('B', 'C', 30_100)]);
  given(t, session, past)
    .when(refresh('A', 'C', 30_101))
    .yields([ended('token-reused')]);

  const lost = [...past, at(refreshed('B', 'C', 20_000), 20_000)];
  given(t, session, lost)
    .when(refresh('B', 'D', 50_000))
    .yields([refreshed('C', 'D', 50_000)], 'each replaced token has its own 30 s');
  given(t, session, lost)
    .when(refresh('A', 'D', 30_100))
    .yields([refreshed('C', 'D', 30_100)]);
  given(t, session, lost)
    .when(refresh('A', 'D', 30_101))
    .yields([ended('token-reused')], 'which a use within them does not prolong');
  given(t, session, [...past, ended('token-reused')])
    .when(refresh('B', 'C', 30_200))
    .yields('session-ended', 'the current token has died with the session');
});

t.test('what is remembered of a session is bounded', async (t) => {
  const past: Past[] = [started];
  for (let i = 0; i < 1_000; i++) past.push(at(refreshed(i === 0 ? 'A' : `t${i - 1}`, `t${i}`, i), i));
  const state = stateAfter(session, past);
  t.ok(state.replaced.length <= 16);
  given(t, session, past)
    .when(refresh('t998', 'n', 31_000))
    .yields([ended('token-reused')]);
  t.equal(state.refreshHash, 't999');
});
