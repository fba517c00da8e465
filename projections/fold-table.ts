import type pg from 'pg';
import { bigintArray, boolArray, doubleArray, intArray, textArray } from '../src/platform/pg-arrays.ts';
import type { Queryable } from './projection.ts';
import { cleanOptional, ms } from './sql.ts';

/**
 * Kinds of column: `time` is milliseconds since the epoch here and `timestamptz` there, `json` any JSON value, `position` a
 * decimal string here and `bigint` there, `ints` an array of integers.
 */
type ColumnKind = 'int' | 'text' | 'bool' | 'time' | 'json' | 'position' | 'ints';

type Cell =
  | number
  | string
  | boolean
  | null
  | readonly (string | number)[]
  | readonly object[]
  | Readonly<Record<string, unknown>>;

/** A table whose rows are read, changed in memory and written back, once per batch: for what changes seldom. */
export interface FoldTable<Row> {
  /** The rows of these keys, by `keyOf`. Locked until the transaction ends. */
  load(client: Queryable, keys: readonly Key[]): Promise<Map<string, Row>>;
  /** Inserts or overwrites, sorted by key. A row that was erased meanwhile stays as it is. */
  save(client: Queryable, rows: readonly Row[]): Promise<void>;
}

/** The values of a row's key columns. */
type Key = readonly (number | string)[];

/** A key as text. */
export function keyOf(key: Key): string {
  return key.join('/');
}

/** Makes the statements of a table. The first `keyColumns` columns are its primary key, `int` or `text`. */
export function foldTable<Row extends { readonly [C in keyof Row]: Cell }>(
  table: string,
  keyColumns: number,
  columns: { readonly [C in keyof Row]: ColumnKind },
  options: { readonly erasable: boolean },
): FoldTable<Row> {
  const names = Object.keys(columns) as (keyof Row & string)[];
  const keys = names.slice(0, keyColumns);
  const rowKey = (row: Row) => keys.map((name) => row[name] as number | string);
  const cast = (name: keyof Row & string) => {
    if (columns[name] === 'time') return `to_timestamp(u.${name} / 1000)`;
    if (columns[name] === 'ints') return `u.${name}::int[]`;
    return columns[name] === 'json' ? `u.${name}::jsonb` : `u.${name}`;
  };
  const rest = names.slice(keyColumns);
  const loadText = `SELECT ${names.map((n) => (columns[n] === 'time' ? `${ms(`t.${n}`)} AS ${n}` : `t.${n}`)).join(', ')}
    FROM ${table} t JOIN unnest(${keys.map((name, i) => `$${i + 1}::${arrayTypes[columns[name]]}`).join(', ')}) AS u(${keys.join(', ')}) USING (${keys.join(', ')})
    ORDER BY ${keys.map((name) => `t.${name}`).join(', ')} FOR UPDATE OF t`;
  const saveText = `INSERT INTO ${table} AS t (${names.join(', ')})
    SELECT ${names.map(cast).join(', ')}
      FROM unnest(${names.map((name, i) => `$${i + 1}::${arrayTypes[columns[name]]}`).join(', ')}) AS u(${names.join(', ')})
    ON CONFLICT (${keys.join(', ')}) DO UPDATE SET ${rest.map((name) => `${name} = excluded.${name}`).join(', ')}
    ${options.erasable ? 'WHERE NOT t.erased' : ''}`;
  return {
    async load(client, wanted) {
      if (wanted.length === 0) return new Map();
      const values = keys.map((name, i) =>
        encode(
          columns[name],
          wanted.map((key) => key[i] as Cell),
        ),
      );
      const { rows } = await client.query<Row & pg.QueryResultRow>({ text: loadText, values });
      return new Map(rows.map((row) => [keyOf(rowKey(row)), row as Row]));
    },
    async save(client, rows) {
      if (rows.length === 0) return;
      const sorted = rows.toSorted((a, b) => compareKeys(rowKey(a), rowKey(b)));
      const values = names.map((name) =>
        encode(
          columns[name],
          sorted.map((row) => row[name]),
        ),
      );
      await client.query({ text: saveText, values });
    },
  };
}

const arrayTypes = {
  int: 'int[]',
  text: 'text[]',
  bool: 'bool[]',
  time: 'float8[]',
  json: 'text[]',
  position: 'int8[]',
  ints: 'text[]',
} as const;

function encode(kind: ColumnKind, cells: readonly Cell[]): Buffer {
  switch (kind) {
    case 'int':
      return intArray(cells as (number | null)[]);
    case 'bool':
      return boolArray(cells as (boolean | null)[]);
    case 'time':
      return doubleArray(cells as (number | null)[]);
    case 'text':
      return textArray((cells as (string | null)[]).map(cleanOptional));
    case 'json':
      return jsonArray(cells);
    case 'position':
      return bigintArray((cells as (string | null)[]).map((cell) => (cell === null ? null : BigInt(cell))));
    case 'ints':
      return intsArray(cells as (readonly number[] | null)[]);
  }
}

/** JSON values for `unnest($n::text[])` and a cast to jsonb. */
export function jsonArray(cells: readonly unknown[]): Buffer {
  return textArray(cells.map((cell) => (cell === null ? null : JSON.stringify(cell, cleanJson))));
}

/** Arrays of integers for `unnest($n::text[])` and a cast to int[]. */
export function intsArray(cells: readonly (readonly number[] | null)[]): Buffer {
  return textArray(cells.map((cell) => (cell === null ? null : `{${cell.join(',')}}`)));
}

/** jsonb holds neither NUL nor half of a surrogate pair. */
function cleanJson(_: string, value: unknown): unknown {
  return typeof value === 'string' ? cleanOptional(value.toWellFormed()) : value;
}

function compareKeys(a: Key, b: Key): number {
  for (let i = 0; i < a.length; i++) {
    const [one, other] = [a[i] as number | string, b[i] as number | string];
    if (one !== other) return one < other ? -1 : 1;
  }
  return 0;
}

/** Rows of one batch: loaded once, changed by events in their order, and only the changed ones written. */
class Fold<Row> {
  readonly #rows: Map<string, Row>;
  readonly #changed = new Map<string, Row>();
  constructor(rows: Map<string, Row>) {
    this.#rows = rows;
  }
  /** Changes one row; `change` is given null when there is none, and answers null to leave it as it is. */
  change(key: Key, change: (row: Row | null) => Row | null): void {
    const name = keyOf(key);
    const next = change(this.#rows.get(name) ?? null);
    if (next === null) return;
    this.#rows.set(name, next);
    this.#changed.set(name, next);
  }
  get changed(): Row[] {
    return [...this.#changed.values()];
  }
}

/** Takes a batch's events into a table: loads the rows they are about, evolves them in their order, writes what changed. */
export async function foldInto<Row, Event>(
  client: Queryable,
  table: FoldTable<Row>,
  events: readonly Event[],
  keyOfEvent: (event: Event) => Key,
  evolve: (row: Row | null, event: Event) => Row | null,
): Promise<void> {
  if (events.length === 0) return;
  const fold = new Fold(await table.load(client, events.map(keyOfEvent)));
  for (const event of events) fold.change(keyOfEvent(event), (row) => evolve(row, event));
  await table.save(client, fold.changed);
}
