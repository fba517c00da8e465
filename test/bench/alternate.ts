/** Two sides measured in turn, so that what the machine does meanwhile falls on both. */
export interface Alternated<A, B> {
  readonly a: A[];
  readonly b: B[];
}

/** A B A B ..., `times` of each. */
export async function alternate<A, B>(
  times: number,
  a: (round: number) => Promise<A>,
  b: (round: number) => Promise<B>,
): Promise<Alternated<A, B>> {
  const all: Alternated<A, B> = { a: [], b: [] };
  for (let round = 0; round < times; round++) {
    all.a.push(await a(round));
    all.b.push(await b(round));
  }
  return all;
}
