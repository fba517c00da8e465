/**
 * Where MessageJS and ChatAPI meet on one method and path (ChatAPI sheet, section 14): which of them a request is for. The
 * order of the sheet, first match wins; everything before its rule 5 is known before the body is read.
 *
 * 1. A host or port that the configuration binds to one dialect.
 * 2. The form of the credential in `Authorization` or `X-API-Key`.
 * 3. The cookie of MessageJS's dashboard.
 * 4. Words of the path and the query, shapes of ids.
 * 5. What remains is nobody's valid request: a neutral handler looks at the body to choose the words of its 401.
 *
 * The router asks it once per request, as a constraint of those routes; a route of one dialect alone has none.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify';
import type { CorsPolicy } from './cors.ts';
import type { Dialect, Refusal } from './dialect.ts';

/** The two that meet. */
const messagejs = 'messagejs';
const chatapi = 'chatapi';
/** What the constraint of neutral routes says. */
const undecided = 'undecided';

/** Whom a request is for. */
export type Verdict = typeof messagejs | typeof chatapi | typeof undecided;

/** A request, as far as it is looked at. */
export interface Asked {
  readonly headers: IncomingHttpHeaders;
  readonly url?: string | undefined;
}

/** What the decision needs of the configuration. */
export interface CollisionOptions {
  /** Dialects by what stands in `Host`: a name, `name:port`, or `:port`. */
  readonly hosts: ReadonlyMap<string, string>;
  /** Cookie of MessageJS's dashboard. */
  readonly cookieName: string;
}

/** The routes that carry the constraint: the path begins or is so. */
const constrained =
  /^\/api\/v1\/(?:messages(?:\/(?::[^/]+|search))?|webhooks\/(?:whatsapp|twilio|:[^/]+)|auth\/.*)\/?$/;
const constrainedMethods = new Set(['GET', 'HEAD', 'POST']);
/** Where both have a route, and a request may stay undecided. */
const neutralRoutes = [
  { method: 'POST', url: '/api/v1/messages' },
  { method: 'GET', url: '/api/v1/messages' },
  { method: 'GET', url: '/api/v1/messages/:id' },
] as const;

const queryWords = {
  [messagejs]: ['projectId', 'limit', 'offset', 'connector', 'from', 'to'],
  [chatapi]: ['page', 'size', 'sort', 'order', 'room_id', 'message_type', 'start_date', 'end_date'],
} as const;
const bodyWords = {
  [messagejs]: ['to', 'connectorId', 'templateId'],
  [chatapi]: ['room_id', 'content'],
} as const;

const base = '/api/v1/';
/** The paths of the table: what a page asks before it calls is answered for both. */
const shared = /^\/api\/v1\/(?:messages(?:\/[^/]+)?|webhooks\/[^/]+)$/;
const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;
const letters = { c: 0x63, p: 0x70, s: 0x73 } as const;
/** Behind `Bearer `. */
const credentialAt = 7;

/** Decides. Null unless both dialects are there. */
export function collisionsOf(dialects: readonly Dialect[], options: CollisionOptions): Collisions | null {
  const byName = new Map(dialects.map((dialect) => [dialect.name, dialect]));
  const pair = [byName.get(messagejs), byName.get(chatapi)] as const;
  return pair[0] && pair[1] ? new Collisions([pair[0], pair[1]], options) : null;
}

type RouterOptions = NonNullable<FastifyServerOptions['routerOptions']>;
type Strategy = NonNullable<RouterOptions['constraints']>[string];
type Handler = NonNullable<ReturnType<ReturnType<Strategy['storage']>['get']>>;

/** The decision, and the routes that need it. */
export class Collisions {
  /** The two that meet. */
  readonly dialects: readonly [Dialect, Dialect];
  /** How the router asks; see `find-my-way`'s constraints. */
  readonly strategy: Strategy = {
    name: 'dialect',
    storage: () => {
      const handlers = new Map<string, Handler>();
      return {
        get: (verdict) => handlers.get(verdict) ?? null,
        set: (verdict, handler) => void handlers.set(verdict, handler),
      };
    },
    // Other routes have no constraint: for the many that begin so, whatever is said, quickly.
    deriveConstraint: (asked) =>
      this.#atOnce(asked.headers.authorization) ?? (isAlone(asked.url) ? chatapi : this.#inOrder(asked)),
    mustMatchWhenDerived: false,
  };
  readonly #hosts: CollisionOptions['hosts'];
  readonly #cookie: RegExp;

  constructor(dialects: readonly [Dialect, Dialect], { hosts, cookieName }: CollisionOptions) {
    this.dialects = dialects;
    this.#hosts = hosts;
    this.#cookie = new RegExp(`(?:^|;)\\s*${cookieName.replace(/[.*+?^$()[\]{}|\\]/g, '\\$&')}=[^;\\s]`);
  }

  /** True of a path, without a slash at its end, that both dialects may answer. */
  isShared(path: string): boolean {
    return shared.test(path);
  }

  /** Puts the constraint on a route that is being registered, where it needs one. */
  constrain(route: { method: string | string[]; url: string; constraints?: object }, dialect: string): void {
    if (dialect !== messagejs && dialect !== chatapi) return;
    const methods = [route.method].flat();
    if (!constrained.test(route.url) || !methods.every((method) => constrainedMethods.has(method))) return;
    route.constraints = { ...route.constraints, dialect };
  }

  /** Whom a request is for, by rules 1 to 4; on other paths than those of the table ChatAPI's in the end. */
  decide(asked: Asked): Verdict {
    return this.#atOnce(asked.headers.authorization) ?? this.#inOrder(asked);
  }

  /** The hot paths: one character tells the form of a key, where no host is bound. */
  #atOnce(authorization: string | undefined): Verdict | null {
    if (authorization === undefined || this.#hosts.size > 0) return null;
    switch (authorization.charCodeAt(credentialAt)) {
      case letters.p:
        return authorization.startsWith('pk_', credentialAt) ? messagejs : null;
      case letters.c:
        return authorization.startsWith('ck_', credentialAt) ? chatapi : null;
      case letters.s:
        return authorization.startsWith('sk_user_', credentialAt) ? chatapi : null;
      default:
        return null;
    }
  }

  #inOrder({ headers, url = '/' }: Asked): Verdict {
    return this.#byHost(headers.host) ?? this.#byCredential(headers) ?? this.#byAddress(url);
  }

  /** The dialect that words what no route answers. */
  ownerOf(asked: Asked): Dialect {
    return this.dialects[this.decide(asked) === messagejs ? 0 : 1];
  }

  #byHost(host: string | undefined): Verdict | null {
    if (this.#hosts.size === 0 || host === undefined) return null;
    const whole = host.toLowerCase();
    const portAt = /:\d+$/.exec(whole)?.index ?? whole.length;
    const bound =
      this.#hosts.get(whole) ?? this.#hosts.get(whole.slice(0, portAt)) ?? this.#hosts.get(whole.slice(portAt));
    return bound === messagejs || bound === chatapi ? bound : null;
  }

  #byCredential(headers: IncomingHttpHeaders): Verdict | null {
    const { authorization, cookie } = headers;
    const apiKey = headers['x-api-key'];
    const bearer = authorization === undefined ? null : byForm(authorization.replace(/^bearer\s+/i, '').trim());
    const byKey = bearer ?? (typeof apiKey === 'string' ? byForm(apiKey.trim()) : null);
    if (byKey) return byKey;
    if (authorization === undefined && apiKey !== undefined) return chatapi;
    return cookie !== undefined && this.#cookie.test(cookie) ? messagejs : null;
  }

  #byAddress(url: string): Verdict {
    const at = url.indexOf('?');
    const path = (at < 0 ? url : url.slice(0, at)).replace(/\/$/, '');
    if (!path.startsWith(base)) return chatapi;
    const [collection, word, ...deeper] = path.slice(base.length).split('/');
    if (collection === 'auth') return messagejs;
    if (deeper.length > 0) return chatapi;
    if (collection === 'webhooks') return word === 'whatsapp' || word === 'twilio' ? messagejs : chatapi;
    if (collection !== 'messages') return chatapi;
    if (word === undefined) return at < 0 ? undecided : byWords(new URLSearchParams(url.slice(at + 1)), queryWords);
    if (word.startsWith('msg_')) return messagejs;
    return word === 'search' || uuid.test(word) ? chatapi : undecided;
  }

  /**
   * Registers the neutral routes (rule 5). Whoever presents a credential that could hold was sent to its dialect before:
   * what comes here is a 401 in either, and the body only tells in whose words; in those of both when it does not.
   */
  register(
    app: FastifyInstance,
    refuse: (refusal: Refusal, dialect: Dialect | null, reply: FastifyReply) => void,
  ): void {
    void app.register(async (scope) => {
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
      scope.setErrorHandler((error: { statusCode?: number }, _request, reply) => {
        const status = error.statusCode === 413 ? 413 : 400;
        const message = status === 413 ? 'The body is too large' : 'The body is malformed';
        return refuse({ kind: 'malformed-body', status, message }, null, reply);
      });
      for (const { method, url } of neutralRoutes) {
        scope.route({
          method,
          url,
          constraints: { dialect: undecided },
          config: { dialect: undecided },
          handler: (request, reply) => {
            const presented = /^bearer\s+\S/i.test(request.headers.authorization ?? '');
            const message = presented ? 'The credential is of no form known here' : 'No credential was given';
            const chosen = byWords(wordsOf(request), bodyWords);
            const dialect = this.dialects.find(({ name }) => name === chosen) ?? null;
            refuse({ kind: 'unauthenticated', status: 401, message, presented, method }, dialect, reply);
          },
        });
      }
    });
  }
}

const firstOfAlone = new Set(['r', 'p', 'u', 'c', 'n'].map((letter) => letter.charCodeAt(0)));

/** True of paths where one dialect alone has routes: rooms, projects, users, clients, notifications. */
function isAlone(url: string | undefined): boolean {
  return url?.startsWith(base) === true && firstOfAlone.has(url.charCodeAt(base.length));
}

/** A credential by its form; null for one of no form that is known. */
function byForm(credential: string): Verdict | null {
  if (credential.startsWith('ck_') || credential.startsWith('sk_user_')) return chatapi;
  if (credential.startsWith('pk_') || /^[^.\s]+\.[^.\s]+\.[^.\s]+$/.test(credential)) return messagejs;
  return null;
}

/** The one whose words stand there, where only one's do. */
function byWords(
  there: { has(word: string): boolean },
  words: Readonly<Record<typeof messagejs | typeof chatapi, readonly string[]>>,
): Verdict {
  const [first, second] = [messagejs, chatapi].map((name) =>
    words[name as keyof typeof words].some((word) => there.has(word)),
  );
  if (first === second) return undecided;
  return first ? messagejs : chatapi;
}

/** Names of the body's fields; none where it is no JSON object. */
function wordsOf({ body }: FastifyRequest): ReadonlySet<string> {
  if (!Buffer.isBuffer(body)) return new Set();
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    return new Set(typeof value === 'object' && value !== null ? Object.keys(value) : []);
  } catch {
    return new Set();
  }
}

/** A policy that lets in whom any of these does: for a path that several dialects answer. */
export function unionOf(policies: readonly CorsPolicy[]): CorsPolicy {
  const list = (of: (policy: CorsPolicy) => string) => [
    ...new Set(policies.flatMap((policy) => of(policy).split(/\s*,\s*/)).filter((name) => name !== '')),
  ];
  const headers = list((policy) => policy.requestHeaders);
  return {
    methods: list((policy) => policy.methods).join(', '),
    requestHeaders: headers.includes('*') ? '*' : headers.join(', '),
    exposedHeaders: list((policy) => policy.exposedHeaders).join(', '),
    maxAgeSeconds: Math.min(...policies.map((policy) => policy.maxAgeSeconds ?? 600)),
    admit(origin, method, path) {
      const admissions = policies.map((policy) => policy.admit(origin, method, path));
      return (
        admissions.find((each) => each === 'credentials') ??
        admissions.find((each) => each === 'anonymous') ??
        'refused'
      );
    },
  };
}
