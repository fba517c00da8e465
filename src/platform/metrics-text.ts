/**
 * Texts of metrics in Prometheus's format (version 0.0.4), made one: for a process whose threads count each for themselves.
 */

interface Family {
  /** Its HELP and TYPE lines. */
  readonly head: string[];
  readonly samples: Map<string, number>;
}

/**
 * One text of two: what both have is added up (counters, buckets, depths of queues). What must not be added is to be in one
 * of them alone.
 */
export function withFigures<T extends { readonly text: string }>(own: T, others: string): T {
  if (others === '') return own;
  const families = new Map<string, Family>();
  for (const text of [own.text, others]) read(text, families);
  const texts = [...families.values()].map(({ head, samples }) =>
    [...head, ...[...samples].map(([series, value]) => `${series} ${spell(value)}`), ''].join('\n'),
  );
  return { ...own, text: texts.join('') };
}

function read(text: string, families: Map<string, Family>): void {
  let family: Family = { head: [], samples: new Map() };
  for (const line of text.split('\n')) {
    const comment = /^# (HELP|TYPE) (\S+)/.exec(line);
    if (comment) {
      const [, kind, name = ''] = comment;
      family = families.get(name) ?? { head: [], samples: new Map() };
      families.set(name, family);
      if (!family.head.some((each) => each.startsWith(`# ${kind} `))) family.head.push(line);
      continue;
    }
    const at = line.lastIndexOf(' ');
    if (at < 0) continue;
    const [series, value] = [line.slice(0, at), Number(line.slice(at + 1))];
    family.samples.set(series, (family.samples.get(series) ?? 0) + value);
  }
}

function spell(value: number): string {
  return Number.isFinite(value) ? String(value) : Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}
