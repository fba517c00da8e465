/** A mail as a provider's API or an SMTP session gave it. */
export interface Mail {
  /** As it was given: `"Name" <address>` or an address. */
  readonly from: string;
  readonly to: readonly string[];
  readonly cc: readonly string[];
  readonly bcc: readonly string[];
  readonly replyTo: string | null;
  readonly subject: string;
  readonly html: string | null;
  readonly text: string | null;
  /** `Message-ID`, where the mail came with one. */
  readonly messageId: string | null;
}

/** A mail that was taken. */
export interface CaughtMail extends Mail {
  /** That of the send which brought it; several mails of one batch share it. */
  readonly seq: number;
  /** Counted from 1, never used again. */
  readonly number: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly provider: string;
}

/** Which mails to give. */
export interface MailQuery {
  /** Mails after this number, oldest first; without it the newest ones, in order of arrival. */
  readonly since?: number | undefined;
  /** Only mails with this recipient, in To, Cc or Bcc. */
  readonly to?: string | undefined;
  /** 1..1,000; 100 unless told. */
  readonly limit?: number | undefined;
}

export const DEFAULT_MAILS = 100;
export const MAX_MAILS = 1_000;

/**
 * What was caught: the newest mails, bounded by their number and by the characters they hold together. The body of a mail is
 * kept whole.
 */
export class Mailbox {
  #mails: CaughtMail[] = [];
  #number = 0;
  #characters = 0;
  readonly #maxMails: number;
  readonly #maxCharacters: number;

  constructor(maxMails: number, maxCharacters: number) {
    this.#maxMails = Math.max(1, maxMails);
    this.#maxCharacters = Math.max(1, maxCharacters);
  }

  add(mail: Mail, seq: number, provider: string): CaughtMail {
    this.#number += 1;
    const caught = { ...mail, seq, provider, number: this.#number, at: Date.now() };
    this.#mails.push(caught);
    this.#characters += weight(caught);
    while (this.#mails.length > this.#maxMails || (this.#characters > this.#maxCharacters && this.#mails.length > 1)) {
      this.#characters -= weight(this.#mails.shift()!);
    }
    return caught;
  }

  get(number: number): CaughtMail | undefined {
    return this.#mails.find((mail) => mail.number === number);
  }

  list({ since, to, limit = DEFAULT_MAILS }: MailQuery): CaughtMail[] {
    const wanted = to?.toLowerCase();
    const fits = (mail: CaughtMail): boolean =>
      mail.number > (since ?? 0) &&
      (wanted === undefined ||
        [...mail.to, ...mail.cc, ...mail.bcc].some((address) => address.toLowerCase() === wanted));
    const found = this.#mails.filter(fits);
    return since === undefined ? found.slice(-limit) : found.slice(0, limit);
  }

  reset(): void {
    this.#mails = [];
    this.#characters = 0;
  }
}

function weight(mail: Mail): number {
  const lists = [...mail.to, ...mail.cc, ...mail.bcc].reduce((sum, address) => sum + address.length, 0);
  return lists + mail.from.length + mail.subject.length + (mail.html?.length ?? 0) + (mail.text?.length ?? 0);
}
