/**
 * `npm run faults -- <run> [options]`: runs that break things and verify what is left. Exit status: 0 every promise kept,
 * 1 one was broken or the run could not be finished, 2 wrong usage, 130 interrupted.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { distributed } from './distributed/run.ts';
import { kill9 } from './kill9.ts';

const stacks = ['postgres+kafka', 'eventstoredb+kafka'] as const;

const usage = `usage: npm run faults -- kill9 [--cycles N] [--seed S]
       npm run faults -- distributed [--stack NAME] [--short] [--only TEXT] [--seed S]

  kill9         kills the server, its Postgres, or both, under a verifying load
  distributed   kills, pauses and cuts off the processes and servers of a set-up with one process per role

  --cycles N     kills; 20 unless told
  --stack NAME   ${stacks.join(' (the default) or ')}
  --only TEXT    of the faults those whose name has TEXT in it
  --short        each fault once, with shorter absences
  --seed S       whole number that chance begins with; any unless told, and printed first`;

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
  const seed = wholeNumber('seed', values.seed, randomInt(1_000_000_000), 0);
  const print = (line: string) => console.log(line);
  switch (positionals.join(' ')) {
    case 'kill9':
      return (await kill9({ cycles: wholeNumber('cycles', values.cycles, 20, 1), seed, print })) ? 0 : 1;
    case 'distributed': {
      const stack = stacks.find((name) => name === (values.stack ?? stacks[0]));
      if (!stack) throw new UsageError(`--stack is one of ${stacks.join(', ')}`);
      const { short = false, only = '' } = values;
      return (await distributed({ seed, stack, short, only, print })) ? 0 : 1;
    }
    default:
      throw new UsageError(positionals.length === 0 ? 'which run?' : `there is no run ${positionals.join(' ')}`);
  }
}

function readArguments(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        cycles: { type: 'string' },
        seed: { type: 'string' },
        stack: { type: 'string' },
        short: { type: 'boolean' },
        only: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
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
