/** One catalogue of coded errors: what it means, and whether the same request can succeed later. Dialects map the codes. */
export const errorCatalogue = {
  'not-found': { meaning: 'no such object, for this actor', retryable: false },
  'already-exists': { meaning: 'the object exists already', retryable: false },
  'identifier-taken': { meaning: 'another account holds this identifier', retryable: false },
  'credentials-wrong': { meaning: 'the identifier or the password is wrong', retryable: false },
  'credential-missing': { meaning: 'the request carries no credential', retryable: false },
  'credential-invalid': {
    meaning: 'the credential is malformed, unknown, revoked or its owner is gone',
    retryable: false,
  },
  'credential-expired': { meaning: 'the credential is past its end', retryable: false },
  'session-ended': { meaning: 'the session has ended', retryable: false },
  'token-reused': { meaning: 'a refresh token that was replaced long ago was used again', retryable: false },
  'access-denied': { meaning: 'the object exists and belongs to somebody else', retryable: false },
  'connector-not-found': { meaning: 'no such connector in this workspace', retryable: false },
  'connector-inactive': { meaning: 'the connector is switched off', retryable: false },
  'template-not-found': { meaning: 'no such active template in this workspace', retryable: false },
  'recipient-malformed': { meaning: "the recipient is not of the connector type's form", retryable: false },
  'account-inactive': { meaning: 'the account is switched off', retryable: false },
  'code-wrong': { meaning: 'the code is not the one that was sent', retryable: false },
  'not-a-member': { meaning: 'the acting account is no member of the room', retryable: false },
  'already-member': { meaning: 'the account is a member of the room already', retryable: false },
  'role-required': { meaning: "the acting account's roles in the room do not allow this", retryable: false },
  'join-closed': { meaning: "the room's policy does not let accounts join this way", retryable: false },
  'room-full': { meaning: 'the room has as many members as it may', retryable: false },
  'room-inactive': { meaning: 'the room is deactivated and takes no messages', retryable: false },
  'room-deleted': { meaning: 'the room is deleted and takes no changes', retryable: false },
  'last-admin': { meaning: 'the room would be left without a member who manages it', retryable: false },
  'reply-not-found': { meaning: 'no such message to answer, for this account in this room', retryable: false },
  'not-the-sender': { meaning: "the message is somebody else's", retryable: false },
  'not-editable': { meaning: 'a message of this kind has no text to edit', retryable: false },
  'content-empty': { meaning: 'the message says nothing', retryable: false },
  'content-too-long': { meaning: 'the text is above the limit of a message', retryable: false },
  'value-invalid': { meaning: 'a value is not allowed; `details.field` names it', retryable: false },
  'replays-under-way': { meaning: 'as many replays of the webhook are under way as may be', retryable: false },
  'wrong-state': { meaning: 'where the object stands does not allow this', retryable: false },
  'rate-limited': { meaning: 'more requests than allowed in the window', retryable: true },
  'quota-exceeded': { meaning: 'the monthly quota is used up', retryable: false },
  'too-large': { meaning: 'what would be stored is above the limit of one event or commit', retryable: false },
  unavailable: { meaning: 'storage is away or the process is draining: not known to be stored', retryable: true },
} as const;

/** Codes of the catalogue. */
export type ErrorCode = keyof typeof errorCatalogue;

/** A refusal by the rules; nothing was written. `unavailable` alone leaves that open. */
export class DomainError extends Error {
  readonly code: ErrorCode;
  /** When the same request can be tried again, milliseconds since the epoch; for `rate-limited` and `unavailable`. */
  readonly retryAt: number | undefined;
  readonly details: Readonly<Record<string, unknown>> | undefined;
  constructor(code: ErrorCode, message?: string, more: { retryAt?: number; details?: Record<string, unknown> } = {}) {
    super(message ?? errorCatalogue[code].meaning);
    this.name = 'DomainError';
    this.code = code;
    this.retryAt = more.retryAt;
    this.details = more.details;
  }
  get retryable(): boolean {
    return errorCatalogue[this.code].retryable;
  }
}
