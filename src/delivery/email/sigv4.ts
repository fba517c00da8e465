import { createHash, createHmac } from 'node:crypto';

/** A request as AWS wants it signed. */
export interface UnsignedRequest {
  readonly method: string;
  /** Path as it is sent, percent-encoded once. */
  readonly path: string;
  /** Query as it is sent, without the question mark: names in order, percent-encoded. */
  readonly query?: string;
  /** Headers to sign, `host` among them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Signer {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
  /** Name of the service in the credential scope, such as `ses`. */
  readonly service: string;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
}

/**
 * The headers `x-amz-date` and `authorization` of a request to AWS: Signature Version 4 (AWS, "Create a signed AWS API
 * request"), for every service but S3, which alone does not encode the path a second time.
 */
export function signed(request: UnsignedRequest, signer: Signer): { 'x-amz-date': string; authorization: string } {
  const stamp = new Date(signer.nowMs).toISOString().replace(/[-:]|\.\d{3}/g, '');
  const headers = new Map(
    Object.entries({ ...request.headers, 'x-amz-date': stamp }).map(([name, value]) => [
      name.toLowerCase(),
      value.trim().replace(/ +/g, ' '),
    ]),
  );
  const names = [...headers.keys()].sort();
  const canonical = [
    request.method,
    request.path.split('/').map(uriEncode).join('/'),
    request.query ?? '',
    ...names.map((name) => `${name}:${headers.get(name)}`),
    '',
    names.join(';'),
    sha256(request.body),
  ].join('\n');
  const scope = `${stamp.slice(0, 8)}/${signer.region}/${signer.service}/aws4_request`;
  const text = ['AWS4-HMAC-SHA256', stamp, scope, sha256(canonical)].join('\n');
  let key: Buffer = Buffer.from(`AWS4${signer.secretAccessKey}`, 'utf8');
  for (const part of scope.split('/')) key = hmac(key, part);
  const signature = hmac(key, text).toString('hex');
  return {
    'x-amz-date': stamp,
    authorization: `AWS4-HMAC-SHA256 Credential=${signer.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`,
  };
}

/** RFC 3986 encoding: `encodeURIComponent` leaves five marks that AWS wants encoded. */
export function uriEncode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);
}

function sha256(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text, 'utf8').digest();
}
