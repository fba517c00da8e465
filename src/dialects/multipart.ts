/**
 * Forms of files, `multipart/form-data` (RFC 7578, in the syntax of RFC 2046, section 5.1), read from a body that is whole and
 * bounded by its route. Node's own `formData()` is not for this: it refuses parts with a length or an encoding of their own,
 * as clients on phones send them, and takes a second of the event loop for two megabytes of headers.
 */

/** One field of a form. */
export interface FormPart {
  readonly name: string;
  /** Whether the client says that it is a file. */
  readonly isFile: boolean;
  /** A view of the body. */
  readonly bytes: Buffer;
}

/** Fields of one form. */
const maxParts = 32;
/** The headers of one field. */
const maxHeaderBytes = 8_192;

/** The fields of a form in their order; null when it is none, or has more than 32 fields or 8 KiB of headers in one. */
export function readForm(contentType: string, body: Buffer): FormPart[] | null {
  const boundary = boundaryOf(contentType);
  if (boundary === null) return null;
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
  let at = 0;
  // The first stands at the beginning, or behind a preamble.
  if (body.subarray(0, delimiter.length - 2).equals(delimiter.subarray(2))) at = delimiter.length - 2;
  else {
    const first = body.indexOf(delimiter);
    if (first < 0) return null;
    at = first + delimiter.length;
  }
  const parts: FormPart[] = [];
  for (;;) {
    if (body.toString('latin1', at, at + 2) === '--') return parts;
    at = behindPadding(body, at);
    if (body.toString('latin1', at, at + 2) !== '\r\n' || parts.length === maxParts) return null;
    // From the line's end on, so that no headers at all end there too.
    const headersEnd = body.subarray(at, at + 2 + maxHeaderBytes).indexOf('\r\n\r\n');
    if (headersEnd < 0) return null;
    const begin = at + headersEnd + 4;
    // The line's end before the content may be that of the delimiter behind it: there is no content then.
    const end = body.indexOf(delimiter, begin - 2);
    const field = fieldOf(body.toString('utf8', at + 2, at + headersEnd));
    if (end < 0 || field === null) return null;
    parts.push({ ...field, bytes: body.subarray(begin, Math.max(begin, end)) });
    at = end + delimiter.length;
  }
}

function boundaryOf(contentType: string): string | null {
  const [, quoted, plain] = /;\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70})(?=[\s;]|$))/i.exec(contentType) ?? [];
  return quoted ?? plain ?? null;
}

/** Blanks may follow a delimiter. */
function behindPadding(body: Buffer, from: number): number {
  let at = from;
  while (body[at] === 0x20 || body[at] === 0x09) at++;
  return at;
}

/** What the headers of a field say; null when they do not name it. */
function fieldOf(headers: string): Pick<FormPart, 'name' | 'isFile'> | null {
  const disposition = headers
    .split('\r\n')
    .map((line) => /^content-disposition[ \t]*:[ \t]*form-data[ \t]*(;.*)$/i.exec(line)?.[1])
    .find((each) => each !== undefined);
  if (disposition === undefined) return null;
  const said = new Map<string, string>();
  for (const [, key = '', quoted, plain] of disposition.matchAll(/;\s*([\w*-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))/g)) {
    said.set(key.toLowerCase(), quoted ?? plain ?? '');
  }
  const name = said.get('name');
  return name === undefined ? null : { name, isFile: said.has('filename') || said.has('filename*') };
}
