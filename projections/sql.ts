/** Snippets that several projections' statements are made of. */

/** A time column as milliseconds since the epoch. */
export function ms(column: string): string {
  return `(extract(epoch FROM ${column}) * 1000)::float8`;
}

/**
 * Holds when a workspace was not deleted: what is in a deleted workspace does not exist for any reader. Name the workspace by
 * a parameter where there is one: the condition is then looked at once, where for a column Postgres expects it to leave
 * one row, and sorts everything it finds before it knows better (1 M dispatches: 1.7 s a page against 1 ms).
 */
export function living(workspace: string): string {
  return `NOT EXISTS (SELECT FROM workspaces gone WHERE gone.workspace = ${workspace} AND gone.deleted)`;
}

/** A text as Postgres can hold it: JSON and so the log can carry NUL, a text column cannot. */
export function cleanText(text: string): string {
  return text.includes('\0') ? text.replaceAll('\0', '\uFFFD') : text;
}

/** `cleanText`, null passed on. */
export function cleanOptional(text: string | null): string | null {
  return text === null ? null : cleanText(text);
}

/** The consumer group whose checkpoint says how far the rows have got. */
const group = 'projector';

/**
 * The position that the rows have reached, as a `bigint`. Under several partitions some rows may be further: whoever joins them
 * to what comes after this position leaves those out. In the statement that reads the rows, so that both are of one snapshot.
 */
export const reachedPosition = `(SELECT coalesce(min(reached.position), 0) FROM work.checkpoints reached WHERE reached."group" = '${group}')`;

/** A pattern for ILIKE that finds a text anywhere. */
export function containing(text: string): string {
  return `%${cleanText(text).replaceAll(/[\\%_]/g, '\\$&')}%`;
}

/**
 * Holds for messages (`m`) whose sender is not being erased together with all that it said: of those nobody is shown anything
 * from the deletion of the account on. Looked up once a statement. `workspace` is a parameter.
 */
export function senderLives(workspace: string): string {
  return `m.sender <> ALL (ARRAY (SELECT gone.account FROM accounts gone
    WHERE gone.workspace = ${workspace} AND gone.deleted AND NOT gone.erased AND gone.messages = 'erase'))`;
}
