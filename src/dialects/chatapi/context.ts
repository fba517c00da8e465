import type { FastifyRequest } from 'fastify';
import type { Keyed } from '../../commands/index.ts';
import { whereFound } from '../faults.ts';
import { maxKeyUnits, keyedBy as readKeyed } from '../keyed.ts';
import { invalidField, notFound } from './errors.ts';
import type { ChatApiOptions } from './options.ts';
import { Spelling } from './spelling.ts';
import { messageBodies } from './wire.ts';

/** What every file of routes is given. */
export interface Context {
  readonly options: ChatApiOptions;
  readonly spelling: Spelling;
  /** The bodies of messages, for requests and sockets alike. */
  readonly messageBodies: ReturnType<typeof messageBodies>;
}

/** Makes the context. */
export function createContext(options: ChatApiOptions): Context {
  const { speller, config } = options;
  return { options, spelling: new Spelling(speller), messageBodies: messageBodies(config.maxContentCharacters) };
}

/** What makes a create take effect once (design promise 4). Throws 422 for a key that is none. */
export function keyedBy(request: FastifyRequest, route: string): Keyed | undefined {
  const malformed = () => invalidField('Idempotency-Key', `Must have 1 to ${maxKeyUnits} characters`);
  return readKeyed(request, route, malformed);
}

/** The number of a read id. Throws 404 for what is none of this client's. */
export function known(id: number | null, what: string): number {
  if (id === null) throw notFound(what);
  return id;
}

/** `work`'s answer; where it finds nothing, 404 that says what. */
export function orNotFound<T>(what: string, work: Promise<T>): Promise<T> {
  return whereFound(work, () => notFound(what));
}
