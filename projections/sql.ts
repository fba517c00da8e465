/** Snippets that several projections' statements are made of. */

/** A time column as milliseconds since the epoch. */
export function ms(column: string): string {
  return `(extract(epoch FROM ${column}) * 1000)::float8`;
}

/** Holds when the workspace of `alias` was not deleted: what is in a deleted workspace does not exist for any reader. */
export function living(alias: string): string {
  return `NOT EXISTS (SELECT FROM workspaces gone WHERE gone.workspace = ${alias}.workspace AND gone.deleted)`;
}

/** A text as Postgres can hold it: JSON and so the log can carry NUL, a text column cannot. */
export function cleanText(text: string): string {
  return text.includes('\0') ? text.replaceAll('\0', '\uFFFD') : text;
}

/** `cleanText`, null passed on. */
export function cleanOptional(text: string | null): string | null {
  return text === null ? null : cleanText(text);
}
