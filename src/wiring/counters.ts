/** Counters by name, each made at its first use. */
export function counterOf(make: (name: string) => (count?: number) => void): (name: string, count: number) => void {
  const counters = new Map<string, (count?: number) => void>();
  return (name, count) => {
    let counter = counters.get(name);
    if (!counter) {
      counter = make(name);
      counters.set(name, counter);
    }
    counter(count);
  };
}

/** Counters of commands, by name and dialect. What no dialect asked for counts for `-`. */
export function commandCounter(
  make: (dialect: string, name: string) => (count?: number) => void,
): (name: string, count: number, dialect?: string) => void {
  const dialects = new Map<string, ReturnType<typeof counterOf>>();
  return (name, count, dialect = '-') => {
    let counters = dialects.get(dialect);
    if (!counters) {
      counters = counterOf((each) => make(dialect, each));
      dialects.set(dialect, counters);
    }
    counters(name, count);
  };
}
