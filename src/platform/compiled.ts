/** What Node.js compiled, kept for whoever starts next. Alone in its module: it has to come before all others. */
import { statSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import path from 'node:path';

const packages = path.resolve(import.meta.dirname, '../../node_modules');

/** Where it is kept: beside the packages, as whoever can write there can write this code too. */
export const compiledDir = path.join(packages, '.cache', 'parley');

/** Keeps what is compiled from here on, also by threads; not beside somebody else's packages, who could not remove it. */
export function keepCompiled(): void {
  if (statSync(packages, { throwIfNoEntry: false })?.uid !== (process.getuid?.() ?? 0)) return;
  // Threads look for it here.
  process.env.NODE_COMPILE_CACHE ??= compiledDir;
  enableCompileCache(process.env.NODE_COMPILE_CACHE);
}
