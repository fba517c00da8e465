/**
 * Runs generated requests over a dialect's document: no 5xx but those that the design names, and no answer outside the
 * document. `PARLEY_TEST_SEED` repeats a run, `PARLEY_TEST_FUZZ` sets the requests per operation.
 */
import fc from 'fast-check';
import type { Test } from 'tap';
import { type Document, type Finding, type Ground, Judge, requestsFor, send } from './fuzz.ts';

const seed = Number(process.env.PARLEY_TEST_SEED ?? Date.now() % 2 ** 31);
const perOperation = Number(process.env.PARLEY_TEST_FUZZ ?? 40);
/** Asks every operation of a document. `order` puts what destroys the ground last. */
export async function fuzz(
  t: Test,
  document: Document,
  ground: Ground,
  { order, allowed }: { order: (operation: Operation) => number; allowed: readonly number[] },
): Promise<void> {
  const { base } = ground;
  const judge = new Judge(document, allowed);
  t.comment(`seed ${seed}`);
  const operations = Object.entries(document.paths)
    .flatMap(([path, item]) =>
      ['get', 'post', 'put', 'delete'].filter((m) => m in item).map((method) => ({ path, method })),
    )
    .sort((a, b) => order(a) - order(b));
  const succeeded = new Set<string>();
  for (const { path, method } of operations) {
    const name = `${method.toUpperCase()} ${path}`;
    const findings: Finding[] = [];
    const statuses = new Map<number, number>();
    const requests = fc.sample(requestsFor(document, path, method, ground), { numRuns: perOperation, seed });
    for (const request of requests) {
      const { status, contentType, body } = await send(base, request);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      if (status < 300) succeeded.add(name);
      const problem = judge.judge(request, status, contentType, body);
      if (problem) findings.push({ request, status, body: body.slice(0, 500), problem });
    }
    const seen = [...statuses].sort(([a], [b]) => a - b).map(([status, times]) => `${times} x ${status}`);
    t.same(findings.slice(0, 3), [], `${name}: ${seen.join(', ')}`);
  }
  t.ok(succeeded.size > operations.length / 2, `${succeeded.size} of ${operations.length} operations succeeded too`);
  t.equal((await fetch(`${base}/health/ready`)).status, 200, 'it stands');
}

/** One operation of a document. */
export interface Operation {
  readonly path: string;
  readonly method: string;
}
