import { domainToASCII } from 'node:url';
import { emailAddressPattern, oneLinePattern } from '../../commands/email-providers.ts';
import type { EmailMessage } from './provider.ts';

/** A mail that is fit to leave: every address and header text checked, every recipient named once. */
export interface ReadyMessage {
  readonly id: string;
  readonly from: { readonly address: string; readonly name: string | null };
  readonly replyTo: string | null;
  readonly to: readonly string[];
  readonly cc: readonly string[];
  readonly bcc: readonly string[];
  readonly subject: string;
  readonly content: string;
  readonly contentType: 'html' | 'text';
}

const MAX_ADDRESS_OCTETS = 320;
const MAX_SUBJECT_CHARACTERS = 998;
const MAX_NAME_CHARACTERS = 255;
const MESSAGE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/**
 * The mail as it leaves, or what is wrong with it. Here no text that would end a line gets into a header or an envelope,
 * whatever was allowed before: such a mail is refused, not mended. A recipient who is named twice stands where it was named
 * first (To before Cc before Bcc): SendGrid refuses repetitions, others would send twice.
 */
export function ready(message: EmailMessage): ReadyMessage | { readonly problem: string } {
  const sender = readyAddress(message.from.address);
  if (sender === undefined) return { problem: 'the sender is not an e-mail address' };
  const name = message.from.name?.toWellFormed().trim() ?? '';
  if (!isOneLine(name, MAX_NAME_CHARACTERS)) return { problem: "the sender's name is not one line of text" };
  if (!isOneLine(message.subject, MAX_SUBJECT_CHARACTERS)) return { problem: 'the subject is not one line of text' };
  if (!MESSAGE_ID.test(message.id)) return { problem: 'the id of the mail is malformed' };
  const replyTo = message.replyTo ? readyAddress(message.replyTo) : null;
  if (replyTo === undefined) return { problem: 'the address for answers is not an e-mail address' };
  const seen = new Set<string>();
  const lists: string[][] = [];
  for (const addresses of [message.to, message.cc ?? [], message.bcc ?? []]) {
    const list: string[] = [];
    for (const text of addresses) {
      const address = readyAddress(text);
      if (address === undefined) return { problem: 'a recipient is not an e-mail address' };
      if (seen.has(address.toLowerCase())) continue;
      seen.add(address.toLowerCase());
      list.push(address);
    }
    lists.push(list);
  }
  const [to = [], cc = [], bcc = []] = lists;
  if (to.length === 0) return { problem: 'the mail has no recipient' };
  return {
    id: message.id,
    from: { address: sender, name: name === '' ? null : name },
    replyTo,
    to,
    cc,
    bcc,
    subject: message.subject.toWellFormed(),
    content: message.content.toWellFormed(),
    contentType: message.contentType ?? 'html',
  };
}

/** All recipients, in the order To, Cc, Bcc. */
export function recipientsOf(message: ReadyMessage): string[] {
  return [...message.to, ...message.cc, ...message.bcc];
}

/** The same on every attempt of one mail (RFC 5322, 3.6.4), angle brackets included. */
export function messageIdOf(message: ReadyMessage): string {
  return `<${message.id}@${message.from.address.slice(message.from.address.lastIndexOf('@') + 1)}>`;
}

/** The address with its domain in ASCII; undefined when it is none. */
function readyAddress(text: string): string | undefined {
  if (!emailAddressPattern.test(text) || !text.isWellFormed()) return undefined;
  const at = text.lastIndexOf('@');
  const domain = domainToASCII(text.slice(at + 1));
  const address = `${text.slice(0, at)}@${domain}`;
  return domain === '' || Buffer.byteLength(address) > MAX_ADDRESS_OCTETS ? undefined : address;
}

function isOneLine(text: string, maxCharacters: number): boolean {
  return text.length <= maxCharacters && oneLinePattern.test(text);
}

/** `"Name" <address>`, or the address alone where there is no name (sheet, section 11). */
export function mailbox({ address, name }: ReadyMessage['from']): string {
  return name === null ? address : `"${name.replace(/["\\]/g, '\\$&')}" <${address}>`;
}

/** The same in ASCII: a name of other characters as encoded words (RFC 2047), which are not quoted. */
export function asciiMailbox(from: ReadyMessage['from']): string {
  if (from.name === null || /^[\x20-\x7e]*$/.test(from.name)) return mailbox(from);
  return `${encodedWords(from.name)} <${from.address}>`;
}

/** Octets of UTF-8 in one encoded word: 60 characters of base64, which with the frame stay below the 75 allowed. */
const WORD_OCTETS = 45;

function encodedWords(text: string): string {
  const words: string[] = [];
  let word = '';
  for (const character of text.toWellFormed()) {
    if (Buffer.byteLength(word + character) > WORD_OCTETS) {
      words.push(word);
      word = '';
    }
    word += character;
  }
  words.push(word);
  return words.map((part) => `=?UTF-8?B?${Buffer.from(part).toString('base64')}?=`).join(' ');
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: ' ',
};

/** Elements whose content is not text for people. */
const SILENT = new Set(['script', 'style', 'head', 'title', 'template']);
/** Elements that begin on a line of their own. */
const BLOCKS = new Set(
  'address article aside blockquote div dl dt dd fieldset footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol p pre section table tr ul'.split(
    ' ',
  ),
);

/**
 * The text of an HTML content, for readers without HTML: tags fall away, blocks and `<br>` become lines, links are
 * followed by their address. In one pass; what is not well-formed HTML gives some text, never an error.
 */
export function plainText(html: string): string {
  const parts: string[] = [];
  let at = 0;
  let silent: string | null = null;
  let href = '';
  const say = (text: string): void => {
    if (silent === null && text !== '') parts.push(decodeEntities(text.replace(/[ \t\r\n\f]+/g, ' ')));
  };
  while (at < html.length) {
    const open = html.indexOf('<', at);
    if (open < 0) {
      say(html.slice(at));
      break;
    }
    say(html.slice(at, open));
    const tag = tagAt(html, open);
    at = tag.end;
    if (tag.name === '') {
      if (tag.text) say('<');
      continue;
    }
    if (silent !== null) {
      if (tag.closes && tag.name === silent) silent = null;
      continue;
    }
    if (SILENT.has(tag.name) && !tag.closes) silent = tag.name;
    else if (tag.name === 'br' || BLOCKS.has(tag.name)) parts.push('\n');
    else if (tag.name === 'td' || tag.name === 'th') parts.push(' ');
    else if (tag.name === 'a') {
      if (!tag.closes) href = hrefOf(html.slice(open, tag.end));
      else if (href !== '') {
        parts.push(` (${href})`);
        href = '';
      }
    }
  }
  const lines = parts
    .join('')
    .split('\n')
    .map((line) => line.trim());
  return lines
    .filter((line, i) => line !== '' || (i > 0 && lines[i - 1] !== ''))
    .join('\n')
    .trim();
}

interface Tag {
  /** In lower case; empty for a comment, a declaration, or a `<` that opens nothing. */
  readonly name: string;
  readonly closes: boolean;
  readonly end: number;
  /** True where the `<` is a character of the text. */
  readonly text?: boolean;
}

function tagAt(html: string, open: number): Tag {
  if (html.startsWith('<!--', open)) {
    const end = html.indexOf('-->', open + 4);
    return { name: '', closes: false, end: end < 0 ? html.length : end + 3 };
  }
  const closes = html[open + 1] === '/';
  const start = closes ? open + 2 : open + 1;
  let nameEnd = start;
  while (nameEnd < html.length && nameEnd - start < 20 && /[A-Za-z0-9]/.test(html[nameEnd]!)) nameEnd += 1;
  const name = html.slice(start, nameEnd).toLowerCase();
  if (!/^[a-z]/.test(name) && html[start] !== '!' && html[start] !== '?') {
    return { name: '', closes: false, end: open + 1, text: true };
  }
  const end = html.indexOf('>', nameEnd);
  return { name, closes, end: end < 0 ? html.length : end + 1 };
}

function hrefOf(tag: string): string {
  const found = /\shref\s*=\s*(?:"([^"]{0,2000})"|'([^']{0,2000})')/i.exec(tag.slice(0, 4_000));
  const href = decodeEntities(found?.[1] ?? found?.[2] ?? '').trim();
  return /^(?:https?:\/\/|mailto:)\S+$/i.test(href) ? href : '';
}

function decodeEntities(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#[xX]([0-9A-Fa-f]{1,6})|([A-Za-z]{2,6}));/g, (all, decimal, hex, name) => {
    if (name !== undefined) return ENTITIES[String(name)] ?? all;
    const code = decimal === undefined ? Number.parseInt(String(hex), 16) : Number(decimal);
    return code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff) ? String.fromCodePoint(code) : all;
  });
}
