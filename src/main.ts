/**
 * The entry point. What this Node.js compiles is kept for the next start, which is ready in half the time: modules are compiled
 * before any of them runs, so that nothing else may be imported here.
 */
import { keepCompiled } from './platform/compiled.ts';

keepCompiled();
const { main } = await import('./wiring/command-line.ts');
await main(process.argv.slice(2));
