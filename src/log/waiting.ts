import type { EventCodec } from '../../schemas/index.ts';
import { type Commit, type EventMeta, maxCommitBytes, maxEventBytes, type Outcome, TooLargeError } from './log.ts';

/** A commit on its way into a flush: spelled out, measured, with the way to answer it. */
export interface Waiting {
  readonly commit: Commit;
  /** Data of each event, as JSON. */
  readonly data: readonly string[];
  /** Version of each event's type. */
  readonly versions: readonly number[];
  readonly meta: string | null;
  /** UTF-8 bytes of all events. */
  readonly bytes: number;
  settle: (outcome: Outcome) => void;
}

/** As JSON; null for none. Of a hundred thousand events nearly all have an actor and nothing else. */
function spellMeta({ actor, trace }: EventMeta): string | null {
  if (trace !== undefined) return JSON.stringify(actor === undefined ? { trace } : { actor, trace });
  return actor === undefined ? null : `{"actor":[${actor[0]},${actor[1]}]}`;
}

/** Spells a commit out. Throws TooLargeError above the limits of the port. */
export function waiting(commit: Commit, codec: EventCodec): Waiting {
  if (commit.events.length === 0) throw new TypeError('a commit holds at least one event');
  if (commit.claims && new Set(commit.claims.map(({ name }) => name)).size < commit.claims.length) {
    throw new TypeError('a commit claims a name once');
  }
  const meta = commit.meta ? spellMeta(commit.meta) : null;
  const metaBytes = meta === null ? 0 : Buffer.byteLength(meta);
  const data: string[] = [];
  const versions: number[] = [];
  let bytes = 0;
  for (const event of commit.events) {
    const text = JSON.stringify(event.data);
    const size = Buffer.byteLength(text) + metaBytes;
    if (size > maxEventBytes) throw new TooLargeError('event', size, maxEventBytes);
    bytes += size;
    data.push(text);
    versions.push(codec.versionOf(event.type));
  }
  if (bytes > maxCommitBytes) throw new TooLargeError('commit', bytes, maxCommitBytes);
  return { commit, data, versions, meta, bytes, settle: () => {} };
}
