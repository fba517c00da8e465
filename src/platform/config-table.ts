/**
 * Keeps the README's table of configuration variables equal to `config.ts`:
 * `node src/platform/config-table.ts --write` puts it between the markers, `--check` ends with 1 when it is not there,
 * without an option it is printed. A second argument names another file than the README.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { configTable } from './config.ts';

const begin = '<!-- config:begin -->';
const end = '<!-- config:end -->';

/**
 * A document with the table between its markers.
 * @throws Error when a marker is missing
 */
export function withConfigTable(document: string): string {
  const from = document.indexOf(begin);
  const to = document.indexOf(end, from);
  if (from < 0 || to < 0) throw new Error(`the markers ${begin} and ${end} are missing`);
  return `${document.slice(0, from + begin.length)}\n${configTable()}\n${document.slice(to)}`;
}

/** Runs the command; answers its exit code. */
function main([option, file = join(import.meta.dirname, '../../README.md')]: readonly string[]): number {
  if (option === undefined) {
    process.stdout.write(`${configTable()}\n`);
    return 0;
  }
  if (option !== '--check' && option !== '--write') {
    process.stderr.write('usage: node src/platform/config-table.ts [--check | --write] [file]\n');
    return 2;
  }
  const document = readFileSync(file, 'utf8');
  const wanted = withConfigTable(document);
  if (document === wanted) return 0;
  if (option === '--write') {
    writeFileSync(file, wanted);
    return 0;
  }
  process.stderr.write(`${file}: the table of variables is not that of config.ts (--write puts it right)\n`);
  return 1;
}

if (import.meta.main) process.exitCode = main(process.argv.slice(2));
