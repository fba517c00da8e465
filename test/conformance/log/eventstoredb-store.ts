/**
 * EventStoreDB for the suites: the server that EVENTSTOREDB_URL names, else the stand-in of the test support, one process
 * for the whole file. Every test gets a namespace of its own that begins at the head, so it sees an empty log; its handles
 * go by way of a proxy, so that their connections can be cut.
 */
import { randomBytes } from 'node:crypto';
import { EventStoreDBClient } from '@eventstore/db-client';
import type { Test } from 'tap';
import { codec } from '../../../schemas/index.ts';
import { type EventStoreLog, type EventStoreLogOptions, openEventStoreLog } from '../../../src/log/eventstoredb.ts';
import { positionOf } from '../../../src/log/eventstoredb-records.ts';
import { startStandIn } from '../../support/eventstoredb/index.ts';
import type { WriterTarget } from '../../support/log-writer.ts';
import type { LogAdapter, LogStore } from './adapter.ts';
import { type Address, startProxy } from './proxy.ts';

type StandIn = Awaited<ReturnType<typeof startStandIn>>;

/** A store as the suites know it, and what only these tests ask of it. */
export interface EventStore extends LogStore {
  readonly url: string;
  readonly namespace: string;
  readonly origin: bigint;
  readonly target: WriterTarget & { adapter: 'eventstoredb' };
  openWith(options: Partial<EventStoreLogOptions>): Promise<EventStoreLog>;
}

/** A server to test against. */
export interface EventStoreServer extends LogAdapter {
  readonly url: string;
  /** Null for a real server, which takes no orders. */
  readonly standIn: StandIn | null;
  fresh(t: Test): Promise<EventStore>;
}

/** Finds or starts the server; it ends with `t`. Says which it is. */
export async function eventStoreServer(t: Test): Promise<EventStoreServer> {
  const real = process.env.EVENTSTOREDB_URL;
  const standIn = real ? null : await startStandIn();
  if (standIn) t.teardown(() => standIn.stop());
  const url = real || (standIn?.url ?? '');
  const name = real ? 'EventStoreDB, a real server' : 'EventStoreDB, the stand-in';
  t.comment(
    real
      ? `against the real server of EVENTSTOREDB_URL, ${addressOf(real).host}:${addressOf(real).port}`
      : 'against the stand-in (EVENTSTOREDB_URL is not set): it shows neither durability nor speed of the real server',
  );
  return { name, url, standIn, fresh: (test) => freshStore(test, url) };
}

async function freshStore(t: Test, serverUrl: string): Promise<EventStore> {
  const proxy = await startProxy(t, addressOf(serverUrl));
  const url = through(serverUrl, proxy.address);
  const namespace = `t${randomBytes(8).toString('hex')}`;
  const origin = await lastPosition(serverUrl);
  const openWith = (options: Partial<EventStoreLogOptions>) =>
    openEventStoreLog({ url, codec, namespace, origin, ...options });
  return {
    url,
    namespace,
    origin,
    target: { adapter: 'eventstoredb', url, namespace, origin: `${origin}` },
    address: proxy.address,
    open: (own = codec) => openWith({ codec: own }),
    openThrough: (address) =>
      openWith({ url: through(serverUrl, address), appendTimeoutMs: 400, readTimeoutMs: 1_000 }),
    openWith,
    async breakConnections() {
      proxy.cut();
      proxy.restore();
    },
  };
}

/** The position of the last record of the server, whoever wrote it; 0 for none. */
async function lastPosition(url: string): Promise<bigint> {
  const client = EventStoreDBClient.connectionString(url);
  try {
    let last = 0n;
    const read = client.readAll({ direction: 'backwards', fromPosition: 'end', maxCount: 1 });
    for await (const record of read) last = positionOf(record);
    return last;
  } finally {
    await client.dispose();
  }
}

const host = /^(esdb:\/\/(?:[^@/?]*@)?)([^/?]+)/;

function addressOf(url: string): Address {
  const [name = '127.0.0.1', port = '2113'] = (host.exec(url)?.[2] ?? '').split(':');
  return { host: name, port: Number(port) };
}

function through(url: string, { host: name, port }: Address): string {
  return url.replace(host, `$1${name}:${port}`);
}
