import { type EventData, event } from '../../schemas/index.ts';
import type { Aggregate } from './aggregate.ts';

/** One provider, sealed. */
export type SealedProvider = EventData<'EmailProvidersSet'>['providers'][number];

/** A workspace's e-mail providers. */
export interface EmailProvidersState {
  /** In the order in which they were first named; one of each type. */
  readonly providers: readonly SealedProvider[];
}

/** Commands on a workspace's e-mail providers. */
export type EmailProvidersCommand =
  /** Takes the place of the one of its type, or comes last. */
  | { readonly command: 'SetEmailProvider'; readonly workspace: number; readonly provider: SealedProvider }
  /** All of them; none twice of one type. */
  | { readonly command: 'ReplaceEmailProviders'; readonly workspace: number; readonly providers: SealedProvider[] };

/** The rules of e-mail providers. What a provider is made of was checked before it was sealed. */
export const emailProviders: Aggregate<EmailProvidersState, EmailProvidersCommand> = {
  initial: { providers: [] },

  decide(state, command) {
    const { workspace } = command;
    if (command.command === 'ReplaceEmailProviders') {
      if (command.providers.length === 0 && state.providers.length === 0) return [];
      return [event('EmailProvidersSet', { workspace, providers: command.providers })];
    }
    const { provider } = command;
    const known = state.providers.some(({ type }) => type === provider.type);
    const providers = known
      ? state.providers.map((each) => (each.type === provider.type ? provider : each))
      : [...state.providers, provider];
    return [event('EmailProvidersSet', { workspace, providers })];
  },

  evolve(state, happened) {
    return happened.type === 'EmailProvidersSet' ? { providers: happened.data.providers } : state;
  },
};
