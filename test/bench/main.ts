/**
 * `npm run bench -- <name>`: the benchmarks. They print tables, and with `--json FILE` write `{name, ratios, samples}`.
 * The exit status is 0 unless something failed to run; with `--bars`, 1 also when a bar is missed.
 */
import { mkdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { distributed, distributedParts } from './distributed/index.ts';
import { ingest, parts as ingestParts } from './ingest/index.ts';
import { printProfiles } from './profile.ts';
import { printBars, type Report, writeReport } from './report.ts';
import { fanout, fanoutParts, memory, reconnect } from './sockets.ts';
import { webhookParts, webhooks } from './webhooks/index.ts';

/** What a run may be told; a benchmark takes what it knows. */
interface Told {
  readonly quick: boolean;
  readonly only: readonly string[];
  readonly dir?: string;
  readonly callbacks: boolean;
  readonly holdStill: boolean;
  readonly profileDir?: string;
}

interface Benchmark {
  readonly measures: string;
  /** What can be chosen with `--only`. */
  readonly parts: readonly string[];
  run(told: Told): Promise<Report>;
}

const benchmarks: Readonly<Record<string, Benchmark>> = {
  ingest: {
    measures: 'what durability costs (full: dispatch without a pace)',
    parts: ingestParts,
    run: (told) => ingest({ ...told, only: ingestParts.filter((part) => told.only.includes(part)) }),
  },
  distributed: {
    measures: 'what the way through Kafka costs (needs Java with Maven, or KAFKA_BROKERS)',
    parts: distributedParts,
    run: (told) => distributed({ ...told, only: distributedParts.filter((part) => told.only.includes(part)) }),
  },
  webhooks: {
    measures: 'what it costs that webhooks are durable',
    parts: webhookParts,
    run: (told) => webhooks({ ...told, only: webhookParts.filter((part) => told.only.includes(part)) }),
  },
  fanout: {
    measures: 'frames to the sockets of one room, by its size, against bare ws; and how soon they come',
    parts: fanoutParts,
    run: fanout,
  },
  memory: { measures: 'what an idle socket takes, against bare ws', parts: ['memory'], run: memory },
  reconnect: {
    measures: 'how soon sockets that were sent away have what they missed',
    parts: ['reconnect'],
    run: reconnect,
  },
};

const usage = `npm run bench -- <name> [options]

${Object.entries(benchmarks)
  .map(([name, { measures, parts }]) => `  ${name.padEnd(15)}${measures}\n${' '.repeat(17)}parts: ${parts.join(', ')}`)
  .join('\n')}

  --json FILE      write {name, ratios, samples}
  --quick          a short run: for looking, not for figures
  --only a,b       some parts
  --bars           exit status 1 when a bar is missed
  --dir DIR        keep the data below this directory while it runs (default: the system's temporary one)
  --no-callbacks   ingest: the sandbox makes no status callbacks to the server
  --no-hold        ingest: do not hold the server still while a reference is measured
  --cpu-prof DIR   ingest: write a processor profile of the server, and print where its time went; slows the server down`;

const profiledFunctions = 25;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'string' },
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      bars: { type: 'boolean', default: false },
      dir: { type: 'string' },
      'no-callbacks': { type: 'boolean', default: false },
      'no-hold': { type: 'boolean', default: false },
      'cpu-prof': { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return void console.log(usage);
  const benchmark = benchmarks[positionals[0] ?? ''];
  if (positionals.length !== 1 || !benchmark) throw new UsageError('name one benchmark');
  const profileDir = values['cpu-prof'];
  if (profileDir !== undefined) mkdirSync(profileDir, { recursive: true });
  const report = await benchmark.run({
    quick: values.quick,
    only: values.only === undefined ? benchmark.parts : partsOf(values.only, benchmark),
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

function partsOf(text: string, { parts }: Benchmark): string[] {
  const asked = text.split(',');
  const unknown = asked.find((part) => !parts.includes(part));
  if (unknown !== undefined) throw new UsageError(`there is no part ${unknown}`);
  return asked;
}

try {
  await main();
} catch (error) {
  const wrongUse = error instanceof UsageError || (error instanceof TypeError && 'code' in error);
  console.error(error instanceof Error ? error.message : error);
  if (wrongUse) console.error(`\n${usage}`);
  process.exitCode = wrongUse ? 2 : 1;
}
