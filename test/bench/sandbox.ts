/** The sandbox in a process of its own. Forked; says `{port}` when it listens. Asked for figures over HTTP. */
import { startSandbox } from '../../src/sandbox/index.ts';

// Sends are counted, not looked at: remembering a few is enough.
const sandbox = await startSandbox({ maxRecords: 1_000 });
process.send?.({ port: Number(new URL(sandbox.url).port) });
process.on('disconnect', () => process.exit(0));
