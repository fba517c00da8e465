/**
 * `npm run faults -- <run> [options]`: runs that break things and verify what is left. Exit status: 0 every promise kept,
 * 1 one was broken or the run could not be finished, 2 wrong usage, 130 interrupted.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { kill9 } from './kill9.ts';

const usage = `usage: npm run faults -- kill9 [--cycles N] [--seed S]

  kill9   kills the server, its Postgres, or both, under a verifying load

  --cycles N   kills; 20 unless told
  --seed S     whole number that chance begins with; any unless told, and printed first`;

class UsageError extends Error {}

function wholeNumber(name: string, text: string | undefined, fallback: number, min: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < min) throw new UsageError(`--${name} is not a whole number from ${min}`);
  return value;
}

async function main(args: string[]): Promise<number> {
  const { positionals, values } = readArguments(args);
  if (values.help) {
    console.log(usage);
    return 0;
  }
  if (positionals.length !== 1 || positionals[0] !== 'kill9')
    throw new UsageError(positionals.length === 0 ? 'which run?' : `there is no run ${positionals.join(' ')}`);
  const cycles = wholeNumber('cycles', values.cycles, 20, 1);
  const seed = wholeNumber('seed', values.seed, randomInt(1_000_000_000), 0);
  return (await kill9({ cycles, seed, print: (line) => console.log(line) })) ? 0 : 1;
}

function readArguments(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: { cycles: { type: 'string' }, seed: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

// The run's own exit hook ends its processes.
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)
  process.once(signal, () => process.exit(code));

try {
  // Not by running out of things to do: whatever a run left open must not hold it up.
  process.exit(await main(process.argv.slice(2)));
} catch (error) {
  if (error instanceof UsageError) console.error(`faults: ${error.message}\n\n${usage}`);
  else console.error(`faults: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  process.exit(error instanceof UsageError ? 2 : 1);
}
