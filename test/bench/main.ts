/**
 * `npm run bench -- <name>`: the benchmarks. They print tables, and with `--json FILE` write `{name, ratios, samples}`.
 * The exit status is 0 unless something failed to run; with `--bars`, 1 also when a bar is missed.
 */
import { mkdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ingest, type Part, parts } from './ingest/index.ts';
import { printProfiles } from './profile.ts';
import { printBars, writeReport } from './report.ts';

const usage = `npm run bench -- ingest [options]

  --json FILE      write {name, ratios, samples}
  --quick          a short run, within 90 s: for looking, not for figures
  --only a,b       some parts: ${parts.join(', ')} (full: dispatch without a pace)
  --bars           exit status 1 when a bar is missed
  --dir DIR        keep the data below this directory while it runs (default: the system's temporary one)
  --no-callbacks   the sandbox makes no status callbacks to the server
  --no-hold        do not hold the server still while a reference is measured
  --cpu-prof DIR   write a processor profile of the server, and print where its time went; slows the server down`;

const profiledFunctions = 25;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'string' },
      quick: { type: 'boolean', default: false },
      only: { type: 'string', default: parts.join(',') },
      bars: { type: 'boolean', default: false },
      dir: { type: 'string' },
      'no-callbacks': { type: 'boolean', default: false },
      'no-hold': { type: 'boolean', default: false },
      'cpu-prof': { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return void console.log(usage);
  if (positionals.length !== 1 || positionals[0] !== 'ingest') throw new UsageError('name one benchmark');
  const profileDir = values['cpu-prof'];
  if (profileDir !== undefined) mkdirSync(profileDir, { recursive: true });
  const report = await ingest({
    quick: values.quick,
    only: values.only.split(',').map(partOf),
    ...(values.dir !== undefined && { dir: values.dir }),
    callbacks: !values['no-callbacks'],
    holdStill: !values['no-hold'],
    ...(profileDir !== undefined && { profileDir }),
  });
  const all = printBars(report);
  if (values.json !== undefined) writeReport(values.json, report);
  if (profileDir !== undefined) printProfiles(profileDir, profiledFunctions);
  if (!all && values.bars) process.exitCode = 1;
}

class UsageError extends Error {}

function partOf(text: string): Part {
  const found = parts.find((part) => part === text);
  if (found === undefined) throw new UsageError(`there is no part ${text}`);
  return found;
}

try {
  await main();
} catch (error) {
  const wrongUse = error instanceof UsageError || (error instanceof TypeError && 'code' in error);
  console.error(error instanceof Error ? error.message : error);
  if (wrongUse) console.error(`\n${usage}`);
  process.exitCode = wrongUse ? 2 : 1;
}
