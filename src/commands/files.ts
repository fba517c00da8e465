import { createHash } from 'node:crypto';
import type pg from 'pg';
import { DomainError } from '../domain/errors.ts';
import type { ChatAccountCommands } from './chat-accounts.ts';
import type { Actor } from './door.ts';

/** Kinds of images that are taken, by the endings of their names. */
export const imageTypes = { png: 'image/png', jpg: 'image/jpeg', gif: 'image/gif', webp: 'image/webp' } as const;

/** A kind of image. */
export type ImageKind = keyof typeof imageTypes;

/** An image, named after what it is: SHA-256 of its bytes, hex, and its kind. */
export interface ImageName {
  readonly digest: string;
  readonly kind: ImageKind;
}

/** A file that somebody stored: it counts while the profile of its owner names it (`avatar`). */
export interface StoredFile {
  readonly file: number;
  readonly owner: number;
}

/** What an image is, by its first bytes alone; null for what is none of `imageTypes`. */
export function imageKindOf(bytes: Buffer): ImageKind | null {
  const begins = (text: string, at = 0) => bytes.toString('latin1', at, at + text.length) === text;
  if (begins('\x89PNG\r\n\x1a\n')) return 'png';
  if (begins('\xff\xd8\xff')) return 'jpg';
  if (begins('GIF87a') || begins('GIF89a')) return 'gif';
  return begins('RIFF') && begins('WEBP', 8) ? 'webp' : null;
}

/** Files of one name that are looked at: as many owners may have the same, and one that shows it is enough. */
const maxOwners = 1_000;

/**
 * Files that accounts show of themselves. The bytes stand in Postgres, which all processes share; the log has the number of
 * the file alone. They are stored before the event, and are nobody's until it: readers ask the profile. What was replaced,
 * belonged to an account that is deleted, or never got its event is erased by the chores.
 */
export class FileCommands {
  readonly #people: ChatAccountCommands;
  readonly #pool: pg.Pool;

  constructor({ people, pool }: { readonly people: ChatAccountCommands; readonly pool: pg.Pool }) {
    this.#people = people;
    this.#pool = pool;
  }

  /**
   * Makes an image that of the acting account, in place of the one before. `at` is when, milliseconds since the epoch.
   * Throws `not-found`, `unavailable`.
   */
  async changeAvatar(
    actor: Actor,
    { kind, bytes }: { readonly kind: ImageKind; readonly bytes: Buffer },
  ): Promise<ImageName & { readonly at: number; readonly position: bigint | null }> {
    const digest = createHash('sha256').update(bytes).digest();
    const { rows } = await this.#pool.query<{ file: number }>(
      'INSERT INTO work.files (workspace, account, kind, digest, bytes) VALUES ($1, $2, $3, $4, $5) RETURNING file',
      [actor.workspace, actor.account, kind, digest, bytes],
    );
    const file = rows[0]?.file as number;
    try {
      const changed = await this.#people.changeUser(actor, actor.account, { profile: { avatar: file } });
      return { digest: digest.toString('hex'), kind, at: changed.at, position: changed.position };
    } catch (error) {
      // Whether the event of an unavailable log is there shows later: the chores look.
      if (error instanceof DomainError && error.code !== 'unavailable')
        await this.#pool.query('DELETE FROM work.files WHERE file = $1', [file]);
      throw error;
    }
  }

  /** The files of a name, the oldest first. */
  async named(workspace: number, { digest, kind }: ImageName): Promise<StoredFile[]> {
    const { rows } = await this.#pool.query<StoredFile>(
      `SELECT file, account AS owner FROM work.files WHERE workspace = $1 AND digest = $2 AND kind = $3
        ORDER BY file LIMIT $4`,
      [workspace, Buffer.from(digest, 'hex'), kind, maxOwners],
    );
    return rows;
  }

  /** The bytes of a file; null when they are erased. */
  async bytesOf({ file }: StoredFile): Promise<Buffer | null> {
    const { rows } = await this.#pool.query<{ bytes: Buffer }>('SELECT bytes FROM work.files WHERE file = $1', [file]);
    return rows[0]?.bytes ?? null;
  }
}
