/** How ids look here: a prefix and 24 characters (sheet, section 1; design section 7). What does not decode is no id. */
import { ACCOUNTS_WORKSPACE, idKinds } from '../../commands/index.ts';
import { type IdSpeller, isBase36Id } from '../../platform/ids.ts';

const prefixes = {
  account: 'usr_',
  workspace: 'proj_',
  key: 'key_',
  connector: 'conn_',
  template: 'tpl_',
} as const;

/** Spells and reads the dialect's ids. */
export class Spelling {
  readonly #speller: IdSpeller;

  constructor(speller: IdSpeller) {
    this.#speller = speller;
  }

  user(account: number): string {
    return this.#spell('account', ACCOUNTS_WORKSPACE, account);
  }

  project(workspace: number): string {
    return this.#spell('workspace', ACCOUNTS_WORKSPACE, workspace);
  }

  key(workspace: number, key: number): string {
    return this.#spell('key', workspace, key);
  }

  connector(workspace: number, connector: number): string {
    return this.#spell('connector', workspace, connector);
  }

  template(workspace: number, template: number): string {
    return this.#spell('template', workspace, template);
  }

  message(dispatch: string): string {
    return `msg_${dispatch}`;
  }

  /** The account of a user id, or null. */
  readUser(text: string): number | null {
    return this.#read('account', ACCOUNTS_WORKSPACE, text);
  }

  /** The workspace of a project id, or null. */
  readProject(text: string): number | null {
    return this.#read('workspace', ACCOUNTS_WORKSPACE, text);
  }

  /** The number of a key, connector or template of this workspace; null for those of others too. */
  readIn(workspace: number, kind: 'key' | 'connector' | 'template', text: string): number | null {
    return this.#read(kind, workspace, text);
  }

  /** A connector of any workspace, or null: for addresses that we gave to providers. */
  readConnector(text: string): { workspace: number; connector: number } | null {
    const prefix = prefixes.connector;
    const parts = text.startsWith(prefix) ? this.#speller.read(text.slice(prefix.length)) : null;
    return parts?.kind === idKinds.connector ? { workspace: parts.workspace, connector: parts.id } : null;
  }

  /** The dispatch of a message id, or null. */
  readMessage(text: string): string | null {
    const id = text.slice(4);
    return text.startsWith('msg_') && isBase36Id(id) ? id : null;
  }

  #spell(kind: keyof typeof prefixes, workspace: number, id: number): string {
    return prefixes[kind] + this.#speller.spell({ kind: idKinds[kind], workspace, id });
  }

  #read(kind: keyof typeof prefixes, workspace: number, text: string): number | null {
    const prefix = prefixes[kind];
    if (!text.startsWith(prefix)) return null;
    const parts = this.#speller.read(text.slice(prefix.length));
    return parts !== null && parts.kind === idKinds[kind] && parts.workspace === workspace ? parts.id : null;
  }
}
