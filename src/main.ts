/**
 * The entry point. What this Node.js compiled is kept, beside the packages, for the next start, which is ready in half the time:
 * modules are compiled before any of them runs, so that nothing else may be imported here.
 */
import { statSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import path from 'node:path';

const packages = path.resolve(import.meta.dirname, '../node_modules');
// Nobody else's: whoever can write there can write this code too, and whoever installed it can remove it.
if (statSync(packages, { throwIfNoEntry: false })?.uid === (process.getuid?.() ?? 0)) {
  // Threads look for it here.
  process.env.NODE_COMPILE_CACHE ??= path.join(packages, '.cache', 'parley');
  enableCompileCache(process.env.NODE_COMPILE_CACHE);
}

const { main } = await import('./wiring/command-line.ts');
await main(process.argv.slice(2));
