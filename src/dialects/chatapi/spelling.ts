/** How ids look here: UUIDs (sheet, section 1; design section 7). What does not decode, or is another client's, is no id. */
import { ACCOUNTS_WORKSPACE, idKinds, SERVICE_ACCOUNT } from '../../commands/index.ts';
import { BoundedMap } from '../../platform/bounded-map.ts';
import { base36OfHex, hexOfBase36, type IdSpeller } from '../../platform/ids.ts';

const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** Spellings that are remembered. */
const maxRemembered = 20_000;

/** Spells and reads the dialect's ids. */
export class Spelling {
  readonly #speller: IdSpeller;
  /** Each message shows three that many others show too. */
  readonly #spelled = new BoundedMap<string, string>(maxRemembered);

  constructor(speller: IdSpeller) {
    this.#speller = speller;
  }

  client(workspace: number): string {
    return this.#spell(idKinds.workspace, ACCOUNTS_WORKSPACE, workspace);
  }

  /** A user; what the client itself does, by its master key, it does under its own id. */
  user(workspace: number, account: number): string {
    return account === SERVICE_ACCOUNT ? this.client(workspace) : this.#spell(idKinds.account, workspace, account);
  }

  scopedKey(workspace: number, account: number): string {
    return this.#spell(idKinds.scopedKey, workspace, account);
  }

  room(workspace: number, room: number): string {
    return this.#spell(idKinds.room, workspace, room);
  }

  message(workspace: number, message: number): string {
    return this.#spell(idKinds.message, workspace, message);
  }

  webhook(workspace: number, webhook: number): string {
    return this.#spell(idKinds.webhook, workspace, webhook);
  }

  /** A notification's id is spelled as it is, not encoded. */
  notification(notification: string): string {
    return dashed(hexOfBase36(notification) ?? '');
  }

  /** An id that a notification can have. */
  readNotification(text: string): string | null {
    return uuid.test(text) ? base36OfHex(text.replaceAll('-', '').toLowerCase()) : null;
  }

  readWebhook(workspace: number, text: string): number | null {
    return this.#read(idKinds.webhook, workspace, text);
  }

  readRoom(workspace: number, text: string): number | null {
    return this.#read(idKinds.room, workspace, text);
  }

  readMessage(workspace: number, text: string): number | null {
    return this.#read(idKinds.message, workspace, text);
  }

  /** A user of this client; null also for the client's own id. */
  readUser(workspace: number, text: string): number | null {
    return this.#read(idKinds.account, workspace, text);
  }

  /** A user of this client, or the client itself (the service account). */
  readSender(workspace: number, text: string): number | null {
    return text.toLowerCase() === this.client(workspace) ? SERVICE_ACCOUNT : this.readUser(workspace, text);
  }

  #spell(kind: number, workspace: number, id: number): string {
    const spell = () => dashed(this.#speller.spellHex({ kind, workspace, id }));
    // Of a message it is seldom asked again.
    if (kind === idKinds.message) return spell();
    const name = `${kind}/${workspace}/${id}`;
    let spelled = this.#spelled.get(name);
    if (spelled === undefined) {
      spelled = spell();
      this.#spelled.set(name, spelled);
    }
    return spelled;
  }

  #read(kind: number, workspace: number, text: string): number | null {
    const parts = uuid.test(text) ? this.#speller.readHex(text.replaceAll('-', '').toLowerCase()) : null;
    return parts !== null && parts.kind === kind && parts.workspace === workspace ? parts.id : null;
  }
}

function dashed(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
