/**
 * Who may import whom (design section 2), checked over every file of ours. `node test/check/imports.ts` prints each
 * breach and exits 1; `imports.test.ts` shows that breaches are found.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** The rooms that a room may import, beside itself. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  schemas: [],
  platform: [],
  sdk: [],
  domain: ['schemas'],
  log: ['schemas', 'platform'],
  feed: ['schemas', 'platform', 'log'],
  commands: ['schemas', 'platform', 'domain', 'log'],
  projections: ['schemas', 'platform'],
  readside: ['schemas', 'platform', 'feed', 'projections'],
  delivery: ['schemas', 'platform', 'feed', 'commands', 'projections'],
  gateway: ['schemas', 'platform', 'log'],
  dialects: ['schemas', 'platform', 'commands', 'gateway', 'projections', 'readside'],
  sandbox: ['platform'],
};

/** Within a room's leave, the only files of another room that may be imported. */
const onlyFiles: Readonly<Record<string, RegExp>> = {
  'readside>projections': /^projections\/(index|projection)\.ts$|\/(apply|queries)\.ts$/,
  'dialects>projections': /\/queries\.ts$|^projections\/(projection|history)\.ts$/,
  'delivery>projections': /\/queries\.ts$|^projections\/(projection|erasure)\.ts$/,
  'dialects>readside': /^src\/readside\/freshness\.ts$/,
};

/** Packages that a room keeps away from: a dialect knows neither `pg` nor Kafka nor EventStoreDB. */
const forbiddenPackages: Readonly<Record<string, readonly string[]>> = {
  dialects: ['pg', 'kafkajs', '@eventstore/db-client'],
  domain: ['pg', 'fastify', 'undici', 'kafkajs', '@eventstore/db-client', 'node:crypto', 'node:fs', 'node:timers'],
};

/** The room of a file, from its path below the repository; null for `main.ts` and `wiring/`, which know every room. */
export function roomOf(file: string): string | null {
  const [top, second] = file.split('/');
  if (top === 'src' && second === 'wiring') return null;
  if (top === 'schemas' || top === 'projections') return top;
  return top === 'src' && file.split('/').length > 2 ? (second ?? null) : null;
}

/** The breaches of one file's imports. */
export function breaches(file: string, source: string): string[] {
  const room = roomOf(file);
  if (!room) return [];
  const rules = allowed[room];
  if (!rules) return [`${file}: ${room} is no room of the house`];
  const found: string[] = [];
  for (const [, specifier = ''] of source.matchAll(
    /^(?:import|export)\b[^;'"]*?['"]([^'"]+)['"]|\bimport\(\s*['"][^'"]+['"]/gms,
  )) {
    const target = specifier.startsWith('.') ? path.posix.join(path.posix.dirname(file), specifier) : null;
    if (target === null) {
      const name = (forbiddenPackages[room] ?? []).find(
        (each) => specifier === each || specifier.startsWith(`${each}/`),
      );
      if (name) found.push(`${file}: ${room} may not import ${name}`);
      continue;
    }
    if (target === 'package.json') continue;
    const other = roomOf(target);
    if (other === room) {
      const [mine, theirs] = [file.split('/')[2], target.split('/')[2]];
      const folders = room === 'dialects' && mine !== theirs && isFolder(file) && isFolder(target);
      if (folders) found.push(`${file}: a dialect may not import another (${target})`);
      continue;
    }
    if (other === null || !rules.includes(other)) {
      found.push(`${file}: ${room} may not import ${target}`);
      continue;
    }
    const only = onlyFiles[`${room}>${other}`];
    if (only && !only.test(target))
      found.push(`${file}: ${room} may import only ${only.source} of ${other}, not ${target}`);
  }
  return found;
}

/** True for a file inside a folder of a room, as against one beside its index. */
function isFolder(file: string): boolean {
  return file.split('/').length > 3;
}

/** Every breach in the tree below `root`. */
export function checkTree(root: string): string[] {
  return ['src', 'schemas', 'projections'].flatMap((top) =>
    readdirSync(path.join(root, top), { recursive: true, encoding: 'utf8' })
      .map((name) => path.posix.join(top, name.split(path.sep).join('/')))
      .filter((name) => name.endsWith('.ts') && !name.startsWith('src/sdk/dist'))
      .flatMap((name) => breaches(name, readFileSync(path.join(root, name), 'utf8'))),
  );
}

if (import.meta.main) {
  const found = checkTree(path.resolve(import.meta.dirname, '../..'));
  for (const line of found) console.error(line);
  if (found.length > 0) process.exitCode = 1;
  else console.log('import rules: kept');
}
