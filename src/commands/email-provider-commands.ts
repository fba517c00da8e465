import { type EmailProvidersCommand, type EmailProvidersState, emailProviders } from '../domain/email-providers.ts';
import { DomainError } from '../domain/errors.ts';
import type { Sealer } from '../platform/crypto.ts';
import type { OutboundGuard } from '../platform/outbound-guard.ts';
import { onlyMaster } from './clients.ts';
import type { Actor, CommandDoor, Written } from './door.ts';
import type { EmailProvider, EmailProviderConfig } from './email-providers.ts';
import { streams } from './streams.ts';

/** What the commands on e-mail providers need. */
export interface EmailProviderCommandsOptions {
  readonly door: CommandDoor;
  readonly sealer: Sealer;
  readonly guard: Pick<OutboundGuard, 'forbids'>;
}

/** How many providers there are now; the position is null when nothing changed. */
export interface ChangedProviders {
  readonly count: number;
  readonly position: bigint | null;
}

/**
 * Commands on a workspace's e-mail providers, one of each type at most. Each provider is sealed whole before it becomes an
 * event; in clear it is only ever in memory.
 */
export class EmailProviderCommands {
  readonly #options: EmailProviderCommandsOptions;

  constructor(options: EmailProviderCommandsOptions) {
    this.#options = options;
  }

  /**
   * Sets one provider, in the place of the one of its type. Throws `value-invalid` for an address that is not allowed, and
   * `access-denied` for anybody but the service account.
   */
  async setProvider(actor: Actor, provider: EmailProvider): Promise<ChangedProviders> {
    this.#check(actor, provider, 'provider_config');
    return this.#execute(actor, {
      command: 'SetEmailProvider',
      workspace: actor.workspace,
      provider: this.#seal(provider),
    });
  }

  /** Sets all providers, each of another type. Throws as `setProvider` does. */
  async replaceProviders(actor: Actor, providers: readonly EmailProvider[]): Promise<ChangedProviders> {
    onlyMaster(actor);
    for (const [i, provider] of providers.entries()) this.#check(actor, provider, `${i}.provider_config`);
    return this.#execute(actor, {
      command: 'ReplaceEmailProviders',
      workspace: actor.workspace,
      providers: providers.map((provider) => this.#seal(provider)),
    });
  }

  /** A workspace's providers in clear, in their order; none where it has none. Not to be shown, logged or kept. */
  async providersOf(workspace: number): Promise<EmailProvider[]> {
    const { door, sealer } = this.#options;
    const { providers } = await door.load(emailProviders, streams.emailProviders(workspace));
    return providers.map(({ sealed }) => JSON.parse(sealer.open(sealed)) as EmailProvider);
  }

  async #execute(actor: Actor, command: EmailProvidersCommand): Promise<ChangedProviders> {
    const stream = streams.emailProviders(actor.workspace);
    const written: Written<EmailProvidersState> = await this.#options.door.execute(
      emailProviders,
      stream,
      command,
      actor,
    );
    return { count: written.state.providers.length, position: written.position };
  }

  #check(actor: Actor, { provider_config: config }: EmailProvider, field: string): void {
    onlyMaster(actor);
    checkTarget(config, this.#options.guard, field);
  }

  #seal(provider: EmailProvider) {
    return {
      type: provider.provider_config.provider_type,
      sealed: this.#options.sealer.seal(JSON.stringify(provider)),
    };
  }
}

/** Throws `value-invalid` where the tenant named a host that is refused whatever the DNS says; `field` holds the configuration. */
export function checkTarget(config: EmailProviderConfig, guard: Pick<OutboundGuard, 'forbids'>, field: string): void {
  const target = targetOf(config);
  if (target === null || !guard.forbids(target.host)) return;
  const details = { field: `${field}.${target.field}` };
  throw new DomainError('value-invalid', 'The target is not allowed', { details });
}

/** The host that the tenant named, and the field that it stands in; null where the operator's address is used. */
function targetOf(config: EmailProviderConfig): { readonly host: string; readonly field: string } | null {
  if (config.provider_type === 'smtp') return { host: config.host, field: 'host' };
  if (config.provider_type !== 'mailgun' || config.base_url === undefined) return null;
  return { host: new URL(config.base_url).hostname, field: 'base_url' };
}
