/** Random commands on e-mail providers. */
import fc from 'fast-check';
import type { EmailProvidersCommand } from '../../src/domain/email-providers.ts';
import { id, text } from './arbitraries.ts';

const provider = fc.record({ type: fc.constantFrom('smtp', 'mailgun', 'ses'), sealed: text });

/** Providers, each of another type. */
export const sealedProviders = fc.uniqueArray(provider, { selector: ({ type }) => type });

/** What happens to the providers of a workspace. */
export const emailProvidersCommands: fc.Arbitrary<EmailProvidersCommand[]> = fc.array(
  fc.oneof(
    fc.record({ command: fc.constant('SetEmailProvider' as const), workspace: id, provider }),
    fc.record({ command: fc.constant('ReplaceEmailProviders' as const), workspace: id, providers: sealedProviders }),
  ),
  { maxLength: 8 },
);
