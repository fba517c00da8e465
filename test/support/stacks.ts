/**
 * The set-ups that end-to-end tests run on: which log, which feed. `PARLEY_TEST_STACK` names the one of a run
 * (`npm run test:e2e -- --stack=NAME`); without it the embedded default. Apart from `stack.ts`, so that what starts a run is no
 * test itself.
 */

/** Log and feed, as the configuration knows them. */
export const stacks = ['postgres+tail', 'postgres+kafka', 'eventstoredb+kafka'] as const;

export type Stack = (typeof stacks)[number];

/** Names the stack of a run. */
export const PARLEY_TEST_STACK = 'PARLEY_TEST_STACK';

/** The stack of this run. Throws for a name that there is none of. */
export function stackOfRun(): Stack {
  const name = process.env[PARLEY_TEST_STACK] || 'postgres+tail';
  const found = stacks.find((stack) => stack === name);
  if (!found) throw new Error(`${PARLEY_TEST_STACK} is one of ${stacks.join(', ')}, not ${name}`);
  return found;
}
