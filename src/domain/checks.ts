import { DomainError } from './errors.ts';

/** A value that is refused: which, and why. */
export interface Problem {
  readonly field: string;
  readonly message: string;
}

/** The problems that a refusal `value-invalid` names: one of each field. */
export function problemsIn({ details, message }: DomainError): readonly Problem[] {
  return (
    (details?.problems as readonly Problem[] | undefined) ?? [{ field: String(details?.field ?? 'body'), message }]
  );
}

/** The problems that the checks find, the first of each field. What else they throw than `value-invalid` is thrown. */
export function problemsOf(checks: Iterable<() => void>): readonly Problem[] {
  const problems = new Map<string, Problem>();
  for (const check of checks) {
    try {
      check();
    } catch (error) {
      if (!(error instanceof DomainError) || error.code !== 'value-invalid') throw error;
      for (const problem of problemsIn(error)) if (!problems.has(problem.field)) problems.set(problem.field, problem);
    }
  }
  return [...problems.values()];
}

/** Makes all the checks. Throws one `value-invalid` for what they find: `details.field` is the first, `details.problems` all. */
export function checkAll(...checks: readonly (() => void)[]): void {
  const problems = problemsOf(checks);
  const [first] = problems;
  if (first) throw new DomainError('value-invalid', first.message, { details: { field: first.field, problems } });
}

/** Whether a text has more characters (Unicode code points) than that: counted where it has more UTF-16 units. */
export function isLongerThan(text: string, maxCharacters: number): boolean {
  if (text.length <= maxCharacters) return false;
  let characters = 0;
  for (const _ of text) if (++characters > maxCharacters) return true;
  return false;
}
