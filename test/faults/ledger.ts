/**
 * What was asked of the server and what it answered: one record a command, by its number. The number stands in what the
 * command writes (the text of a message, the name of a connector), so that the log tells which commands took effect.
 */
import type { DomainEvent } from '../../schemas/index.ts';

/** What a command was. */
export type CommandKind = 'send' | 'template-change' | 'connector' | 'project' | 'project-change' | 'key' | 'account';

/** One command. */
export interface CommandRecord {
  readonly number: number;
  readonly kind: CommandKind;
  /** Sent with an idempotency key. */
  readonly keyed: boolean;
  /** Success answers that were read whole. The first is the acknowledgement, the others are replays. */
  acknowledgements: number;
  /** Ids that were answered, without repetition. */
  readonly ids: string[];
}

/** How a request ended. `unknown`: a 503, or no whole answer; `unexpected` is what the server must not answer here. */
export type Answer =
  | { readonly outcome: 'acknowledged'; readonly id: string | null }
  | { readonly outcome: 'unknown' }
  | { readonly outcome: 'unexpected'; readonly text: string };

/** Texts of unexpected answers that are kept; more are counted. */
const maxUnexpected = 50;

/** The commands of one run. */
export class Ledger {
  /** In the order of their numbers, which count from 1. */
  readonly commands: CommandRecord[] = [];
  readonly unexpected: string[] = [];
  unexpectedAnswers = 0;
  unknownAnswers = 0;
  acknowledged = 0;
  replays = 0;
  /** Told of every acknowledgement: when its request set out, milliseconds since the epoch. */
  onAcknowledged: (requestedAt: number) => void = () => {};

  /** A new command, with the next number. */
  open(kind: CommandKind, keyed: boolean): CommandRecord {
    const record = { number: this.commands.length + 1, kind, keyed, acknowledgements: 0, ids: [] };
    this.commands.push(record);
    return record;
  }

  /** Notes how a request for a command ended. `requestedAt` in milliseconds since the epoch. */
  note(record: CommandRecord, answer: Answer, requestedAt: number): void {
    switch (answer.outcome) {
      case 'acknowledged':
        if (record.acknowledgements === 0) this.acknowledged++;
        else this.replays++;
        record.acknowledgements++;
        if (answer.id !== null && !record.ids.includes(answer.id)) record.ids.push(answer.id);
        this.onAcknowledged(requestedAt);
        break;
      case 'unknown':
        this.unknownAnswers++;
        break;
      case 'unexpected':
        this.unexpectedAnswers++;
        if (this.unexpected.length < maxUnexpected)
          this.unexpected.push(`${record.kind} ${record.number}: ${answer.text}`);
    }
  }
}

/** Texts that carry a command's number, as the load writes them and as they are found again. */
export const texts = {
  /** Content of the template that all sends use. */
  template: (edition: number) => `This is number {{number}}. (edition ${edition})`,
  name: (number: number) => `command ${number}`,
  email: (number: number) => `command-${number}@example.com`,
  /** The number of a message, from its text; null when there is none. */
  numberOfMessage: (text: string): number | null => numberIn(/^This is number (\d+)\./, text),
} as const;

/** The command whose effect an event is; null when it is that of no command of the load. */
export function commandOf({ type, data }: DomainEvent): { kind: CommandKind; number: number } | null {
  const found = (kind: CommandKind, number: number | null) => (number === null ? null : { kind, number });
  const named = /^command (\d+)$/;
  switch (type) {
    case 'DispatchAccepted':
      return found('send', texts.numberOfMessage(data.text));
    case 'TemplateChanged':
      return found('template-change', numberIn(/\(edition (\d+)\)$/, data.content ?? ''));
    case 'ConnectorCreated':
      return found('connector', numberIn(named, data.name));
    case 'WorkspaceOpened':
      return found('project', numberIn(named, data.name));
    case 'WorkspaceChanged':
      return found('project-change', numberIn(named, data.name ?? ''));
    case 'KeyIssued':
      return found('key', numberIn(named, data.name));
    case 'IdentifierAttached':
      return found('account', numberIn(/^command-(\d+)@/, data.value));
    default:
      return null;
  }
}

function numberIn(pattern: RegExp, text: string): number | null {
  const number = pattern.exec(text)?.[1];
  return number === undefined ? null : Number(number);
}
