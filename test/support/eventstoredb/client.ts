/** For the stand-in's own tests: a stand-in and the real client of it, both gone when the test ends. */
import { once } from 'node:events';
import {
  type AllStreamResolvedEvent,
  type AllStreamSubscription,
  EventStoreDBClient,
  type JSONEventData,
  jsonEvent,
  type Position,
  type StreamingRead,
} from '@eventstore/db-client';
import type { Test } from 'tap';
import { type StandIn, type StandInOptions, startStandIn } from './index.ts';

export async function open(
  t: Test,
  options: StandInOptions = {},
): Promise<{ db: StandIn; client: EventStoreDBClient }> {
  const db = await startStandIn({ ...options, faults: { systemEveryRecords: 0, ...options.faults } });
  t.teardown(() => db.stop());
  return { db, client: connect(t, db) };
}

/** A client; those that a test leaves waiting for an answer are let go at its end. */
export function connect(t: Test, db: StandIn, options = ''): EventStoreDBClient {
  const client = EventStoreDBClient.connectionString(db.url + options);
  t.teardown(() => client.dispose());
  return client;
}

export function event(data: string, id?: string): JSONEventData {
  return jsonEvent({ type: 'said', data, ...(id ? { id } : {}) });
}

/** What a promise was rejected with, as far as the client tells it. */
export async function refusal(promise: Promise<unknown>): Promise<Record<string, unknown>> {
  try {
    await promise;
  } catch (error) {
    return error as Record<string, unknown>;
  }
  throw new Error('it was not refused');
}

/** What a read gives, events only. */
export async function all<E>(read: StreamingRead<E>): Promise<E[]> {
  const events: E[] = [];
  for await (const each of read) events.push(each);
  return events;
}

/** What an event of `$all` says of itself. */
export function told({ event: of }: AllStreamResolvedEvent): string {
  return of ? `${of.streamId} ${of.revision} ${String(of.data)}` : '-';
}

export function positionOf(resolved: AllStreamResolvedEvent | undefined): Position {
  if (!resolved?.event) throw new Error('no event');
  return resolved.event.position;
}

/** The events of `$all` that clients wrote. */
export async function written(client: EventStoreDBClient): Promise<AllStreamResolvedEvent[]> {
  return (await all(client.readAll())).filter(({ event: of }) => of && !of.streamId.startsWith('$'));
}

/** What a subscription gives until it is live. */
export async function untilCaughtUp(subscription: AllStreamSubscription): Promise<AllStreamResolvedEvent[]> {
  const events: AllStreamResolvedEvent[] = [];
  subscription.on('data', (each: AllStreamResolvedEvent) => events.push(each));
  await once(subscription, 'caughtUp');
  await subscription.unsubscribe();
  return events;
}
