/**
 * Scavenges: what was tombstoned leaves the disk only when a node is told to scavenge, over its admin HTTP API. Each node
 * of a cluster does it for itself. The server keeps its newest, unfinished chunk (256 MiB by default) as it is until it is
 * full, so that what was erased can stand there until then. Whose turn it is to start them is told by
 * `eventstoredb-scavenge-turns.ts`.
 */
import { readFileSync } from 'node:fs';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';

export const defaultTimeoutMs = 10_000;

/** Where the nodes are. Times in milliseconds. */
export interface ScavengeOptions {
  /** Base addresses of every node's HTTP API, as `http://host:2113`. See `adminOf`. */
  readonly adminUrls: readonly string[];
  /** Who starts scavenges: of `$ops` or `$admins`. None where the server runs without security. */
  readonly credentials?: { readonly username: string; readonly password: string } | undefined;
  /** PEM of the authority that signed the nodes' certificates, where the system does not know it. */
  readonly ca?: string | undefined;
  /** A node that does not answer for this long has failed this time. Default 10 000. */
  readonly timeoutMs?: number;
  /** Told how each start of a scavenge ended, per node. Not of those that were given up. */
  readonly onResult?: (result: ScavengeResult) => void;
  /** Gives up what has not been answered. */
  readonly signal?: AbortSignal;
}

/** What became of one start. */
export interface ScavengeResult {
  readonly adminUrl: string;
  /** Null when it did not start; one that was already running counts as started. */
  readonly scavengeId: string | null;
  readonly error: Error | null;
}

/** Starts a scavenge on every node, now. Never rejects: see the results. */
export async function scavenge(options: ScavengeOptions): Promise<ScavengeResult[]> {
  return Promise.all(
    options.adminUrls.map(async (adminUrl) => {
      let result: ScavengeResult;
      try {
        result = { adminUrl, scavengeId: await start(adminUrl, options), error: null };
      } catch (error) {
        result = { adminUrl, scavengeId: null, error: error instanceof Error ? error : new Error(String(error)) };
      }
      if (!options.signal?.aborted) options.onResult?.(result);
      return result;
    }),
  );
}

async function start(adminUrl: string, options: ScavengeOptions): Promise<string> {
  const url = new URL('/admin/scavenge', adminUrl);
  const { status, body } = await post(url, options);
  const { scavengeId } = parsed(body);
  if (status >= 200 && status < 300) return typeof scavengeId === 'string' ? scavengeId : '';
  // A scavenge that is under way is answered with a refusal that names it.
  if (status === 409 || (status === 400 && /in progress/i.test(body)))
    return typeof scavengeId === 'string' ? scavengeId : '';
  throw new Error(`${url.host} answered ${status} to the start of a scavenge`);
}

function post(
  url: URL,
  { credentials, ca, timeoutMs = defaultTimeoutMs, signal }: ScavengeOptions,
): Promise<{ status: number; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
  const options = {
    method: 'POST',
    headers: { 'content-length': '0' },
    signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])]),
    ...(credentials && { auth: `${credentials.username}:${credentials.password}` }),
    ...(ca !== undefined && { ca }),
  };
  const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, options, (response) => {
    let body = '';
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      if (body.length < 10_000) body += chunk;
    });
    response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    response.on('error', reject);
  });
  request.on('error', reject);
  request.end();
  return promise;
}

function parsed(body: string): { scavengeId?: unknown } {
  try {
    return (JSON.parse(body) ?? {}) as { scavengeId?: unknown };
  } catch {
    return {};
  }
}

/**
 * What a connection string says of the nodes' HTTP API: their addresses (every host it names: name them all, a cluster is
 * not asked for its members), the credentials, and the authority of `tlsCAFile`. Throws TypeError for none of ours.
 */
export function adminOf(url: string): Pick<ScavengeOptions, 'adminUrls' | 'credentials' | 'ca'> {
  const match = /^esdb(?:\+discover)?:\/\/(?:([^:@/?]+):([^@/?]+)@)?([^/?]+)\/?(?:\?(.*))?$/.exec(url);
  if (!match) throw new TypeError('not a connection string of EventStoreDB');
  const [, username, password, hosts = '', query = ''] = match;
  const parameters = new Map([...new URLSearchParams(query)].map(([key, value]) => [key.toLowerCase(), value]));
  const scheme = parameters.get('tls') === 'false' ? 'http' : 'https';
  const caFile = parameters.get('tlscafile');
  return {
    adminUrls: hosts.split(',').map((each) => `${scheme}://${each.includes(':') ? each : `${each}:2113`}`),
    credentials:
      username !== undefined && password !== undefined
        ? { username: decodeURIComponent(username), password: decodeURIComponent(password) }
        : undefined,
    ca: caFile === undefined ? undefined : readFileSync(caFile, 'utf8'),
  };
}
