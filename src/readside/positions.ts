/** How far each partition of a consumer group has got, as far as this process knows, and who waits for more. */
export class GroupPositions {
  #positions: readonly bigint[] = [];
  #smallest = 0n;
  readonly #watchers = new Set<() => void>();

  /** Partitions of the group; 0 before anything is known. */
  get partitions(): number {
    return this.#positions.length;
  }

  /** Everything up to here is done, whatever process did it: the smallest position. */
  get smallest(): bigint {
    return this.#smallest;
  }

  /** Somebody waits. */
  get watched(): boolean {
    return this.#watchers.size > 0;
  }

  /** What the rows of the group hold, also where that is less: a crash of the database may have taken something back. */
  set(positions: readonly bigint[]): void {
    this.#take(positions);
  }

  /** What the rows held some time ago: what is known to be further stays. */
  raise(positions: readonly bigint[]): void {
    if (positions.length !== this.partitions) this.#take(positions);
    else this.#take(positions.map((position, at) => larger(position, this.#positions[at] ?? 0n)));
  }

  /** One partition has got so far. False when there is no such partition: then the rows are to be read. */
  reach(partition: number, position: bigint): boolean {
    const known = this.#positions[partition];
    if (known === undefined) return false;
    if (position > known) this.#take(this.#positions.with(partition, position));
    return true;
  }

  /** Calls back whenever the smallest position rose, until what it answers is called. */
  watch(onReached: () => void): () => void {
    this.#watchers.add(onReached);
    return () => this.#watchers.delete(onReached);
  }

  #take(positions: readonly bigint[]): void {
    this.#positions = positions;
    const before = this.#smallest;
    this.#smallest = positions.reduce((least, each) => (each < least ? each : least), positions[0] ?? 0n);
    if (this.#smallest > before) for (const watcher of [...this.#watchers]) watcher();
  }
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
