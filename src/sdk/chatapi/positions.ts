/** True when one position of the log lies after another, both decimal numbers of any size; everything does after null. */
export function isAfter(position: string, other: string | null): boolean {
  if (other === null || position.length !== other.length) return position.length > (other?.length ?? 0);
  return position > other;
}
