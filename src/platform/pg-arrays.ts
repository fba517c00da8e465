/**
 * Arrays as Postgres's binary wire format. node-postgres passes a Buffer on as a binary parameter, so that a set-based
 * statement costs neither the quoting of an array literal here nor its parsing there (1,000 rows of 400 bytes: 0.5 ms
 * against 4 ms). The parameter's type has to be stated in the statement (`$1::text[]`).
 */

const oid = { text: 25, int8: 20, int4: 23, bool: 16, float8: 701 } as const;

const headerBytes = 20;

function header(buffer: Buffer, elementOid: number, length: number, hasNulls: boolean): number {
  if (length === 0) {
    buffer.writeInt32BE(0, 0);
    buffer.writeInt32BE(0, 4);
    buffer.writeInt32BE(elementOid, 8);
    return 12;
  }
  buffer.writeInt32BE(1, 0);
  buffer.writeInt32BE(hasNulls ? 1 : 0, 4);
  buffer.writeInt32BE(elementOid, 8);
  buffer.writeInt32BE(length, 12);
  buffer.writeInt32BE(1, 16);
  return headerBytes;
}

/** `text[]`; null is NULL. */
export function textArray(values: readonly (string | null)[]): Buffer {
  let bytes = headerBytes;
  let hasNulls = false;
  for (const value of values) {
    // Three bytes a UTF-16 unit is the most that UTF-8 needs.
    if (value === null) hasNulls = true;
    bytes += 4 + (value === null ? 0 : value.length * 3);
  }
  const buffer = Buffer.allocUnsafe(bytes);
  let at = header(buffer, oid.text, values.length, hasNulls);
  for (const value of values) {
    if (value === null) {
      at = buffer.writeInt32BE(-1, at);
      continue;
    }
    const written = buffer.write(value, at + 4);
    buffer.writeInt32BE(written, at);
    at += 4 + written;
  }
  return buffer.subarray(0, at);
}

function fixedArray<T>(
  values: readonly (T | null)[],
  elementOid: number,
  size: number,
  write: (buffer: Buffer, value: T, at: number) => void,
): Buffer {
  let hasNulls = false;
  let bytes = headerBytes;
  for (const value of values) {
    if (value === null) hasNulls = true;
    bytes += value === null ? 4 : 4 + size;
  }
  const buffer = Buffer.allocUnsafe(bytes);
  let at = header(buffer, elementOid, values.length, hasNulls);
  for (const value of values) {
    if (value === null) {
      at = buffer.writeInt32BE(-1, at);
    } else {
      at = buffer.writeInt32BE(size, at);
      write(buffer, value, at);
      at += size;
    }
  }
  return buffer.subarray(0, at);
}

/** `bigint[]` of bigints, or of numbers that are safe integers. */
export function bigintArray(values: readonly (bigint | number | null)[]): Buffer {
  return fixedArray(values, oid.int8, 8, (buffer, value, at) => buffer.writeBigInt64BE(BigInt(value), at));
}

/** `integer[]`. */
export function intArray(values: readonly (number | null)[]): Buffer {
  return fixedArray(values, oid.int4, 4, (buffer, value, at) => buffer.writeInt32BE(value, at));
}

/** `double precision[]`. */
export function doubleArray(values: readonly (number | null)[]): Buffer {
  return fixedArray(values, oid.float8, 8, (buffer, value, at) => buffer.writeDoubleBE(value, at));
}

/** `boolean[]`. */
export function boolArray(values: readonly (boolean | null)[]): Buffer {
  return fixedArray(values, oid.bool, 1, (buffer, value, at) => buffer.writeUInt8(value ? 1 : 0, at));
}
