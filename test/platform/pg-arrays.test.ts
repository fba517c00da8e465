/** Arrays in the binary wire format, against a server. */
import fc from 'fast-check';
import pg from 'pg';
import t from 'tap';
import { bigintArray, boolArray, doubleArray, intArray, textArray } from '../../src/platform/pg-arrays.ts';
import { testDatabase } from '../support/postgres.ts';

interface Kind {
  readonly type: string;
  readonly encode: (values: never[]) => Buffer;
  readonly values: readonly unknown[];
  readonly random: fc.Arbitrary<unknown>;
}

const kinds: readonly Kind[] = [
  {
    type: 'text',
    encode: textArray,
    values: ['', 'a', ' ', 'NULL', '{}', '"\\', ',', "'", 'ünïcode', '👩‍👩‍👧', '漢字', 'x'.repeat(100_000), ''],
    random: fc.string({ unit: 'binary' }).map((text) => text.replaceAll('\0', '')),
  },
  {
    type: 'bigint',
    encode: bigintArray,
    values: [0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), BigInt(Number.MAX_SAFE_INTEGER)],
    random: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  },
  {
    type: 'integer',
    encode: intArray,
    values: [0, 1, -1, 2 ** 31 - 1, -(2 ** 31)],
    random: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  },
  {
    type: 'double precision',
    encode: doubleArray,
    values: [0, 1.5, -1e300, Number.MIN_VALUE, Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY],
    random: fc.double({ noNaN: true }).map((value) => value + 0),
  },
  { type: 'boolean', encode: boolArray, values: [true, false, true], random: fc.boolean() },
];

t.test('every type', async (t) => {
  const { url } = await testDatabase(t);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  t.teardown(() => client.end());

  for (const { type, encode, values, random } of kinds) {
    const ask = async (given: readonly unknown[]): Promise<unknown[]> => {
      const { rows } = await client.query<{ value: unknown }>(
        `SELECT value FROM unnest($1::${type}[]) WITH ORDINALITY AS given(value, place) ORDER BY place`,
        [encode(given as never[])],
      );
      return rows.map(({ value }) => (type === 'bigint' && value !== null ? BigInt(value as string) : value));
    };
    t.strictSame(await ask(values), values, `${type}[]`);
    t.strictSame(await ask([]), [], `an empty ${type}[]`);
    t.strictSame(await ask([null]), [null], `a ${type}[] of one null`);
    const mixed = [null, ...values.flatMap((value) => [value, null])];
    t.strictSame(await ask(mixed), mixed, `a ${type}[] with nulls`);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.option(random), { maxLength: 200 }), async (given) => {
        t.strictSame(await ask(given), given);
      }),
      { numRuns: 10 },
    );
  }
  const { rows } = await client.query(
    'SELECT $1::bigint[] = ARRAY[1, 2]::bigint[] AS same, array_ndims($2::int[]) AS n',
    [bigintArray([1, 2]), intArray([])],
  );
  t.strictSame(rows, [{ same: true, n: null }], 'numbers are bigints too; an empty array is as Postgres makes it');
});
