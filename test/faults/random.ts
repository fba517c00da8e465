/** Chance that can be had again: the same seed and name give the same draws. */
export interface Random {
  /** 0 up to 1. */
  next(): number;
  /** A whole number from `low` to `high`, both included. */
  int(low: number, high: number): number;
  /** True in the given share of cases, 0..1. */
  chance(share: number): boolean;
  /** One of them. */
  pick<T>(from: readonly [T, ...T[]]): T;
  /** A source of its own, so that what runs beside this one does not change its draws. */
  fork(name: string): Random;
}

/** mulberry32 over a hash (FNV-1a) of the seed and the names of the forks. */
export function seededRandom(seed: number, name = ''): Random {
  let state = 0x811c9dc5;
  for (const byte of Buffer.from(`${seed}/${name}`)) state = Math.imul(state ^ byte, 0x01000193);
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  const int = (low: number, high: number): number => low + Math.floor(next() * (high - low + 1));
  return {
    next,
    int,
    chance: (share) => next() < share,
    pick: <T>(from: readonly [T, ...T[]]) => from[int(0, from.length - 1)] as T,
    fork: (other) => seededRandom(seed, `${name}/${other}`),
  };
}
