/**
 * `npm test`: one Postgres for the whole run, tap over the files given (all by default), and as its last line
 * `N passed, N failed, N skipped`. Options go to tap.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { compiledDir } from '../../src/platform/compiled.ts';
import { startTestPostgres, TEST_DATABASE_URL } from './postgres-server.ts';

const scratch = mkdtempSync(path.join(tmpdir(), 'parley-test-'));
const tapOutput = path.join(scratch, 'out.tap');
const postgres = process.env[TEST_DATABASE_URL] ? null : await startTestPostgres();

/** Every file is a process of its own, and nearly all load the same modules. */
const compiled = { NODE_COMPILE_CACHE: compiledDir };
const onTerminal = process.stdout.isTTY;
const child = spawn(
  'tap',
  [`--output-file=${tapOutput}`, ...(onTerminal ? ['--reporter=terse'] : []), ...process.argv.slice(2)],
  {
    stdio: ['ignore', onTerminal ? 'inherit' : 'pipe', 'inherit'],
    env: { ...compiled, ...process.env, ...(postgres && { [TEST_DATABASE_URL]: postgres.url }) },
    shell: process.platform === 'win32',
  },
);
if (child.stdout) printPlainly(createInterface({ input: child.stdout }));
const stop = (signal: NodeJS.Signals) => child.kill(signal);
process.on('SIGINT', stop);
process.on('SIGTERM', stop);
const code = await new Promise<number>((resolve) => {
  child.on('error', (error) => {
    console.error(`tap could not be started: ${error.message}`);
    resolve(1);
  });
  child.on('close', (exit) => resolve(exit ?? 1));
});
await postgres?.stop();

const { passed, failed, skipped } = counts();
rmSync(scratch, { recursive: true, force: true });
process.exitCode = code !== 0 || failed > 0 || passed === 0 ? 1 : 0;
console.log(`${passed} passed, ${failed + (code !== 0 && failed === 0 ? 1 : 0)} failed, ${skipped} skipped`);

/** Where nobody watches: a line a file, and whole what failed. */
function printPlainly(lines: Interface): void {
  let diagnosing = false;
  let before = '';
  lines.on('line', (line) => {
    // tap says each line twice when it also writes them to a file.
    if (line === before) return;
    before = line;
    const result = /^(\s*)(not )?ok \d+ /.exec(line);
    if (result) diagnosing = result[2] !== undefined;
    if (diagnosing || (result && result[1] === '')) console.log(line);
  });
}

/** The totals of tap's closing comment. */
function counts(): { passed: number; failed: number; skipped: number } {
  let tap = '';
  try {
    tap = readFileSync(tapOutput, 'utf8');
  } catch {
    // tap ended before it wrote anything: nothing passed.
  }
  const total = [...tap.matchAll(/^# \{ (total: .*) \}$/gm)].at(-1)?.[1] ?? '';
  const count = (name: string) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(total)?.[1] ?? 0);
  return { passed: count('pass'), failed: count('fail'), skipped: count('skip') };
}
