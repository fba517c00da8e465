/**
 * The outbound guard: every connection to a target that a tenant names (a webhook's URL, a mail server) is made here
 * (design section 9).
 *
 * Promises
 * - A name is resolved here, once per connection, and connected to at an address that was resolved then: an answer of the
 *   DNS that changes afterwards (rebinding) changes nothing. Every resolved address must be allowed, or none is used.
 * - Allowed is what is global unicast by the registries of special-purpose addresses (RFC 6890 and its successors), and
 *   what is in `allowCidrs`. Refused are private, loopback, link-local, unspecified, shared, multicast, documentation and
 *   benchmark ranges, and addresses that hold an IPv4 address in an IPv6 one (mapped, NAT64, 6to4, Teredo).
 * - The environment's proxies (`HTTP_PROXY` and its like) are not asked. With a `proxy`, the operator's, connections go
 *   through it by CONNECT to the address that was checked here.
 *
 * Limits: resolving, connecting and what the proxy answers are bounded by one time-out together. A connection that was made is
 * the caller's: it bounds what is said on it. TLS is on top of it and names the host as it was given.
 * Failure: `TargetNotAllowedError`; anything else is trouble of the network (a Node error with its `code`).
 */
import { Resolver, lookup as systemLookup } from 'node:dns/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction, connect as netConnect, type Socket } from 'node:net';
import ipaddr from 'ipaddr.js';
import { buildConnector } from 'undici';

/** What the guard needs; all of it is the operator's. */
export interface OutboundGuardOptions {
  /**
   * Ranges that are allowed beside global unicast, such as `127.0.0.0/8` in development. One of IPv4 opens no IPv6 address
   * that holds one of its own.
   */
  readonly allowCidrs?: readonly string[];
  /** `http:` or `https:` address of a forward proxy, with user and password where it asks for them. */
  readonly proxy?: string;
  /** Time for resolving and connecting together; 10,000 unless told. */
  readonly connectTimeoutMs?: number;
  /** All addresses of a name; the DNS and then the system's own ways unless told. */
  readonly resolve?: (name: string) => Promise<readonly string[]>;
}

/** Where to connect. `host` is a name or an address, an IPv6 one with or without brackets. */
export interface OutboundTarget {
  readonly host: string;
  readonly port: number;
  /** Instead of `connectTimeoutMs`. */
  readonly timeoutMs?: number;
  /** Ends the attempt; a connection that was made is not touched. */
  readonly signal?: AbortSignal;
}

/** The guard. */
export interface OutboundGuard {
  /**
   * True for a host that is refused whatever the DNS says: a forbidden address in any spelling, `localhost`. Asked when a
   * target is named; connecting asks again.
   */
  forbids(host: string): boolean;
  /** A TCP connection to an allowed address of the host. Rejects with TargetNotAllowedError or a network error. */
  connect(target: OutboundTarget): Promise<Socket>;
  /** The same for undici's `connect` option, TLS included; HTTP/1.1 only. */
  connector(): buildConnector.connector;
}

/** The target is none that tenants may name. */
export class TargetNotAllowedError extends Error {
  readonly code = 'TARGET_NOT_ALLOWED';
  constructor() {
    super('the target is not allowed');
    this.name = 'TargetNotAllowedError';
  }
}

type Address = ReturnType<typeof ipaddr.parse>;
type Cidr = ReturnType<typeof ipaddr.parseCIDR>;

const defaultConnectTimeoutMs = 10_000;
const dns = { timeoutMs: 3_000, tries: 2 } as const;
/** Codes of the DNS for "no such thing": the system's own ways (hosts file, mDNS) may still know it. */
const notFound = new Set(['ENOTFOUND', 'ENODATA']);

/**
 * Global unicast IPv6 is 2000::/3 (IANA "IPv6 Address Space"), without what the registry of special-purpose addresses takes
 * from it: protocol assignments with Teredo and ORCHID, documentation, 6to4, AS112, benchmarking.
 */
const globalV6 = ipaddr.IPv6.parseCIDR('2000::/3');
const specialV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '2620:4f:8000::/48', '3fff::/20'].map((range) =>
  ipaddr.IPv6.parseCIDR(range),
);

/**
 * Makes a guard.
 * @throws TypeError when a range of `allowCidrs` or the proxy's address is none
 */
export function outboundGuard(options: OutboundGuardOptions = {}): OutboundGuard {
  return new Guard(options);
}

class Guard implements OutboundGuard {
  readonly #allowed: readonly Cidr[];
  readonly #proxy: URL | null;
  readonly #timeoutMs: number;
  readonly #resolve: (name: string) => Promise<readonly string[]>;

  constructor({ allowCidrs = [], proxy, connectTimeoutMs = defaultConnectTimeoutMs, resolve }: OutboundGuardOptions) {
    this.#allowed = allowCidrs.map(parseCidr);
    this.#proxy = proxy === undefined ? null : parseProxy(proxy);
    this.#timeoutMs = connectTimeoutMs;
    this.#resolve = resolve ?? resolveName;
  }

  forbids(host: string): boolean {
    const literal = literalOf(host);
    if (literal !== null) return !this.#allows(literal);
    const name = bareName(host);
    // RFC 6761, section 6.3: such names are the loopback.
    if (name === 'localhost' || name.endsWith('.localhost'))
      return !['127.0.0.1', '::1'].some((at) => this.#allows(at));
    return name === '';
  }

  async connect(target: OutboundTarget): Promise<Socket> {
    const { host, port, timeoutMs = this.#timeoutMs, signal: given } = target;
    const late = new AbortController();
    const timer = setTimeout(
      () => late.abort(Object.assign(new Error('could not connect in time'), { code: 'ETIMEDOUT' })),
      timeoutMs,
    );
    const signal = given ? AbortSignal.any([late.signal, given]) : late.signal;
    try {
      const addresses = await interruptible(this.#addressesOf(host), signal);
      return this.#proxy
        ? await throughProxy(this.#proxy, addresses, port, signal)
        : await direct(host, addresses, port, signal);
    } finally {
      clearTimeout(timer);
    }
  }

  connector(): buildConnector.connector {
    const overTls = buildConnector({ allowH2: false, timeout: this.#timeoutMs });
    return (options, callback) => {
      const { hostname, protocol, port } = options;
      const secure = protocol === 'https:';
      this.connect({ host: hostname, port: Number(port) || (secure ? 443 : 80) }).then(
        (socket) => {
          if (secure) overTls({ ...options, httpSocket: socket }, callback);
          else callback(null, socket);
        },
        (error: Error) => callback(error, null),
      );
    };
  }

  /** The addresses of a host, all of them allowed. */
  async #addressesOf(host: string): Promise<readonly string[]> {
    const literal = literalOf(host);
    const addresses = literal === null ? await this.#resolve(bareName(host)) : [literal];
    if (addresses.length === 0) throw Object.assign(new Error('host not found'), { code: 'ENOTFOUND' });
    if (!addresses.every((address) => this.#allows(address))) throw new TargetNotAllowedError();
    return addresses;
  }

  #allows(text: string): boolean {
    // An address with a zone is one of this machine's links.
    if (text.includes('%') || isIP(text) === 0) return false;
    const address = ipaddr.parse(text);
    return isGlobal(address) || this.#allowed.some((range) => matches(address, range));
  }
}

function isGlobal(address: Address): boolean {
  if (address.kind() === 'ipv4') return address.range() === 'unicast';
  return (
    address.range() === 'unicast' && matches(address, globalV6) && !specialV6.some((range) => matches(address, range))
  );
}

function matches(address: Address, range: Cidr): boolean {
  return address.kind() === range[0].kind() && address.match(range);
}

function parseCidr(range: string): Cidr {
  try {
    return ipaddr.parseCIDR(range);
  } catch {
    throw new TypeError(`not a range of addresses: ${range}`);
  }
}

function parseProxy(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new TypeError('the proxy is not an http(s) address');
  return url;
}

function bareName(host: string): string {
  return host.toLowerCase().replace(/\.$/, '');
}

/**
 * The address that a host spells, null for a name. Like a URL's host (WHATWG URL, section 3.5) it may be decimal, octal,
 * hexadecimal or short (`2130706433`, `0177.1`, `0x7f000001`), and percent-encoded or in full-width digits.
 */
function literalOf(host: string): string | null {
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
  if (isIP(bare) !== 0) return bare;
  const spelled = `http://${host}/`;
  const hostname = URL.canParse(spelled) ? new URL(spelled).hostname.replace(/\.$/, '') : '';
  return isIP(hostname) === 4 ? hostname : null;
}

/**
 * All addresses of a name. The DNS is asked by c-ares, which takes no thread: names whose servers do not answer would
 * otherwise keep the few threads busy that hash passwords and read files.
 */
async function resolveName(name: string): Promise<readonly string[]> {
  const resolver = new Resolver({ timeout: dns.timeoutMs, tries: dns.tries });
  if (name.includes('.')) {
    const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
    const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    if (found.length > 0) return found;
    const failed = answers.find((answer) => answer.status === 'rejected' && !notFound.has(answer.reason.code));
    if (failed?.status === 'rejected') throw failed.reason;
  }
  const turn = systemTurn.then(() => systemLookup(name, { all: true }));
  systemTurn = turn.catch(() => {});
  return (await turn).map(({ address }) => address);
}

/** The system's own ways take a thread of the few: one at a time. */
let systemTurn: Promise<unknown> = Promise.resolve();

/** Connects to one of the addresses, the next when one does not answer soon (RFC 8305, as Node does it). */
function direct(host: string, addresses: readonly string[], port: number, signal: AbortSignal): Promise<Socket> {
  const known = addresses.map((address) => ({ address, family: isIP(address) }));
  const lookup: LookupFunction = (_name, { all }, callback) => {
    const [first] = known;
    if (all === true || !first) callback(null, known);
    else callback(null, first.address, first.family);
  };
  const [only] = addresses;
  const options = addresses.length === 1 && only !== undefined ? { host: only } : { host, lookup };
  return new Promise((resolve, reject) => {
    const socket = netConnect({ ...options, port, autoSelectFamily: true, noDelay: true });
    const over = (error: Error | null) => {
      signal.removeEventListener('abort', abort);
      socket.removeListener('error', over);
      if (error) {
        socket.on('error', () => {}).destroy();
        reject(error);
      } else {
        resolve(socket);
      }
    };
    const abort = () => over(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    socket.once('error', over);
    socket.once('connect', () => over(null));
    if (signal.aborted) abort();
  });
}

/** Connects by the operator's proxy, which is told an address and so resolves nothing itself. */
async function throughProxy(
  proxy: URL,
  addresses: readonly string[],
  port: number,
  signal: AbortSignal,
): Promise<Socket> {
  const [address = ''] = addresses;
  const path = `${isIP(address) === 6 ? `[${address}]` : address}:${port}`;
  const user = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  const authorization =
    proxy.username === '' ? {} : { 'proxy-authorization': `Basic ${Buffer.from(user).toString('base64')}` };
  const headers = { host: path, ...authorization };
  const send = proxy.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    // `agent: false`: an agent of its own, which no proxy of the environment was given to.
    const request = send(proxy, { method: 'CONNECT', path, headers, auth: null, agent: false });
    const fail = (error: Error) => {
      signal.removeEventListener('abort', abort);
      request.on('error', () => {}).destroy();
      reject(error);
    };
    const abort = () => fail(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) return abort();
    request.once('connect', ({ statusCode = 0 }, socket: Socket, head) => {
      if (statusCode < 200 || statusCode > 299) return fail(refusedByProxy());
      signal.removeEventListener('abort', abort);
      if (head.length > 0) socket.unshift(head);
      resolve(socket.setNoDelay(true));
    });
    request.once('response', () => fail(refusedByProxy()));
    request.once('error', fail);
    request.end();
  });
}

function refusedByProxy(): Error {
  return Object.assign(new Error('the proxy refused'), { code: 'PROXY_REFUSED' });
}

function interruptible<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
