import type { FastifyReply, FastifyRequest } from 'fastify';

/**
 * What pages of an origin may do: call and read answers with the user's cookies, without them, or not at all.
 * Refusing only withholds the headers that a browser asks for: requests are never turned away for their origin.
 */
export type Admission = 'credentials' | 'anonymous' | 'refused';

/** A dialect's rules for calls from web pages (Fetch standard, section 3.3, "CORS protocol"). Lists are header values. */
export interface CorsPolicy {
  readonly methods: string;
  /** `*`: whatever the page asks for. */
  readonly requestHeaders: string;
  readonly exposedHeaders: string;
  /** Seconds that a browser remembers a preflight; 600 unless told. */
  readonly maxAgeSeconds?: number;
  /** Status of the answer to a preflight; 204 unless told. */
  readonly preflightStatus?: 200 | 204;
  /** `method` and `path` are those of the request itself, or what a preflight asks about. */
  admit(origin: string, method: string, path: string): Admission;
}

/**
 * The meaning of `ALLOWED_ORIGINS`: listed origins with credentials; `*` any other without; an empty list all with
 * credentials, and in production none.
 */
export function originRule(allowed: readonly string[], production: boolean): (origin: string) => Admission {
  if (allowed.length === 0) return () => (production ? 'refused' : 'credentials');
  const listed = new Set(allowed);
  const others: Admission = listed.has('*') ? 'anonymous' : 'refused';
  return (origin) => (origin !== '*' && listed.has(origin) ? 'credentials' : others);
}

/**
 * Puts the policy's headers on the answer to a request with an `Origin`.
 * @returns true when the request was a preflight: it is answered
 */
export function applyCors(
  policy: CorsPolicy | undefined,
  origin: string,
  path: string,
  request: FastifyRequest,
  reply: FastifyReply,
): boolean {
  if (policy === undefined) return false;
  const asked = request.raw.headers['access-control-request-method'];
  const isPreflight = request.method === 'OPTIONS' && asked !== undefined;
  const admission = policy.admit(origin, isPreflight ? asked : request.method, path);
  reply.header('vary', isPreflight ? 'Origin, Access-Control-Request-Method' : 'Origin');
  if (admission !== 'refused') {
    reply.header('access-control-allow-origin', admission === 'credentials' ? origin : '*');
    if (admission === 'credentials') reply.header('access-control-allow-credentials', 'true');
    if (!isPreflight) reply.header('access-control-expose-headers', policy.exposedHeaders);
  }
  if (!isPreflight) return false;
  if (admission !== 'refused') {
    reply.header('access-control-allow-methods', policy.methods);
    reply.header('access-control-allow-headers', allowedHeaders(policy, request));
    reply.header('access-control-max-age', String(policy.maxAgeSeconds ?? 600));
  }
  reply.code(policy.preflightStatus ?? 204).send();
  return true;
}

/** To a request with credentials `*` would be a header of that name: what was asked for is named instead. */
function allowedHeaders({ requestHeaders }: CorsPolicy, request: FastifyRequest): string {
  const asked = request.raw.headers['access-control-request-headers'];
  return requestHeaders === '*' && typeof asked === 'string' && headerList.test(asked) ? asked : requestHeaders;
}

const headerList = /^[\w!#$%&'*+.^`|~, -]{1,2000}$/;
