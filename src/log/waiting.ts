import type { EventCodec } from '../../schemas/index.ts';
import { type Commit, maxCommitBytes, maxEventBytes, type Outcome, TooLargeError } from './log.ts';

/** A commit on its way into a flush: spelled out, measured, with the way to answer it. */
export interface Waiting {
  readonly commit: Commit;
  /** Data of each event, as JSON. */
  readonly data: readonly string[];
  /** Version of each event's type. */
  readonly versions: readonly number[];
  readonly meta: string | null;
  /** An upper bound of the UTF-8 bytes of it all. */
  readonly bytes: number;
  settle: (outcome: Outcome) => void;
}

/** Spells a commit out. Throws TooLargeError above the limits of the port. */
export function waiting(commit: Commit, codec: EventCodec): Waiting {
  if (commit.events.length === 0) throw new TypeError('a commit holds at least one event');
  const meta = commit.meta && (commit.meta.actor || commit.meta.trace) ? JSON.stringify(commit.meta) : null;
  const data: string[] = [];
  const versions: number[] = [];
  let bytes = 0;
  for (const event of commit.events) {
    const text = JSON.stringify(event.data);
    const size = eventBytes(text) + (meta?.length ?? 0);
    if (size > maxEventBytes) throw new TooLargeError('event', size, maxEventBytes);
    bytes += size;
    data.push(text);
    versions.push(codec.versionOf(event.type));
  }
  if (bytes > maxCommitBytes) throw new TooLargeError('commit', bytes, maxCommitBytes);
  return { commit, data, versions, meta, bytes, settle: () => {} };
}

/** UTF-8 bytes, counted exactly only where it could matter: most events are far below any limit. */
function eventBytes(text: string): number {
  return text.length * 3 <= 64 * 1024 ? text.length : Buffer.byteLength(text);
}
