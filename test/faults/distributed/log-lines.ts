/** How much a process says: not more than so many lines a second of one cause, whatever goes wrong. */

/** Lines of one cause within any second at most. */
export const maxLinesPerSecond = 10;

/** A cause of which too much was said. */
export interface Chatter {
  readonly pid: number;
  readonly cause: string;
  /** In its worst second, and when that began. */
  readonly lines: number;
  readonly at: string;
}

interface Line {
  readonly time?: string;
  readonly pid?: number;
  readonly level?: string;
  readonly msg?: string;
  readonly group?: string;
  readonly err?: { readonly message?: string };
}

/**
 * The causes of which more was said than `maxLinesPerSecond`. A cause is what a line says but for its numbers, with the
 * consumer group and the error that it is about; lines that are no JSON (traces, warnings of Node) are one cause.
 */
export function chatterOf(text: string): Chatter[] {
  const times = new Map<string, { pid: number; cause: string; at: number[] }>();
  let latest = { at: 0, pid: 0 };
  for (const raw of text.split('\n')) {
    if (raw === '') continue;
    const line = parse(raw);
    const at = line?.time === undefined ? latest.at : Date.parse(line.time);
    const pid = line?.pid ?? latest.pid;
    latest = { at, pid };
    const cause = line === null ? 'no JSON' : causeOf(line);
    const key = `${pid} ${cause}`;
    const found = times.get(key);
    if (found) found.at.push(at);
    else times.set(key, { pid, cause, at: [at] });
  }
  return [...times.values()].flatMap(({ pid, cause, at }) => {
    const worst = worstSecond(at);
    return worst.lines > maxLinesPerSecond ? { pid, cause, ...worst, at: new Date(worst.at).toISOString() } : [];
  });
}

function parse(raw: string): Line | null {
  if (!raw.startsWith('{')) return null;
  try {
    return JSON.parse(raw) as Line;
  } catch {
    return null;
  }
}

function causeOf({ level = '', msg = '', group = '', err }: Line): string {
  return `${level} ${group} ${msg} ${err?.message ?? ''}`.replace(/\d+/g, 'N').replace(/\s+/g, ' ').trim();
}

function worstSecond(at: readonly number[]): { lines: number; at: number } {
  const worst = { lines: 0, at: 0 };
  let first = 0;
  for (let last = 0; last < at.length; last++) {
    while ((at[last] as number) - (at[first] as number) >= 1_000) first++;
    const lines = last - first + 1;
    if (lines > worst.lines) Object.assign(worst, { lines, at: at[first] as number });
  }
  return worst;
}
