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

/** Counters by two names, each made at its first use. */
export function counterOfPair(
  make: (first: string, second: string) => (count?: number) => void,
): (first: string, second: string, count: number) => void {
  const counters = new Map<string, ReturnType<typeof counterOf>>();
  return (first, second, count) => {
    let bySecond = counters.get(first);
    if (!bySecond) {
      bySecond = counterOf((each) => make(first, each));
      counters.set(first, bySecond);
    }
    bySecond(second, count);
  };
}
