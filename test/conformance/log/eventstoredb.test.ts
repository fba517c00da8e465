/** The log on EventStoreDB: the port's conformance suite. Its claims, its faults and its erasure: the files beside it. */
import t from 'tap';
import { eventStoreServer } from './eventstoredb-store.ts';
import { logConformance } from './log-suite.ts';

await logConformance(t, await eventStoreServer(t));
