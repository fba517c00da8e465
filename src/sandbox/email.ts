import type { Emulation, Read, Send } from './emulation.ts';
import type { Reply } from './http.ts';
import type { Mail } from './mailbox.ts';

/** A request that brings one mail, as a send: the recipients stand for the recipient, the subject for the text. */
export function sendOf(mail: Mail, sender: string): Send {
  const recipients = [...mail.to, ...mail.cc, ...mail.bcc];
  return {
    dispatchId: null,
    to: recipients.join(', '),
    fateKey: recipients[0] ?? '',
    text: mail.subject,
    sender,
    from: mail.from,
    callbackUrl: null,
    secret: null,
    mails: [mail],
  };
}

/** The usual ways of a send: without credentials, not acceptable, or a send. */
export function readSend(send: Send, unauthorised: Reply | null, wrong: Reply | null): Read {
  if (unauthorised !== null) return { kind: 'refused', send, outcome: 'unauthorised', reply: unauthorised };
  return wrong === null ? { kind: 'send', send } : { kind: 'refused', send, outcome: 'rejected', reply: wrong };
}

/** Mail has no status callbacks here. */
export const noStages: Emulation['stages'] = () => [];

/** `"Name" <address>` or an address, one line, something on both sides of the sign. */
export function isMailbox(text: string): boolean {
  const address = /<([^<>]*)>$/.exec(text)?.[1] ?? text;
  return /^[^\s@<>,;]+@[^\s@<>,;]+$/.test(address) && !/[\r\n]/.test(text);
}

/** The addresses of a list separated by commas. */
export function addressesOf(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}
