import { type AccountState, SERVICE_ACCOUNT } from '../../commands/index.ts';
import type { Context } from './context.ts';
import { deletedUser, nameOf, unnamed } from './rendering.ts';

/** What an account is called now; the client itself is nobody. */
export function nameNow(
  { options }: Context,
  workspace: number,
  account: number,
): string | null | Promise<string | null> {
  if (account === SERVICE_ACCOUNT) return null;
  const state = options.people.stateOf(workspace, account);
  const called = (of: AccountState) => (of.exists ? (nameOf(of) ?? unnamed(account)) : deletedUser);
  return state instanceof Promise ? state.then(called) : called(state);
}
