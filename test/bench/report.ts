/** What every benchmark ends with: a table for people, bars, and a file for machines. */
import { writeFileSync } from 'node:fs';

/** A figure that must not be missed. */
export interface Bar {
  readonly name: string;
  readonly value: number;
  readonly bound: 'at least' | 'at most';
  readonly limit: number;
  readonly unit?: string;
}

/** The outcome of a benchmark. */
export interface Report {
  readonly name: string;
  /** Only those that were measured. */
  readonly ratios: Readonly<Record<string, number>>;
  /** Everything that the ratios and figures come from. */
  readonly samples: unknown;
  readonly bars: readonly Bar[];
}

/** Whether a bar is reached. */
export function reached({ value, bound, limit }: Bar): boolean {
  return bound === 'at least' ? value >= limit : value <= limit;
}

/** Aligned columns; the first to the left, the others to the right. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  const line = (row: readonly string[]): string =>
    widths
      .map((width, column) => {
        const cell = row[column] ?? '';
        return column === 0 ? cell.padEnd(width) : cell.padStart(width);
      })
      .join('  ')
      .trimEnd();
  return [line(header), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n');
}

/** Digits that say something: 3 or 4 of them, thousands apart. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '-';
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Prints ratios and bars; answers whether all bars are reached. */
export function printBars(report: Report): boolean {
  const rows = report.bars.map((bar) => [
    bar.name,
    `${figure(bar.value)}${bar.unit ?? ''}`,
    `${bar.bound} ${figure(bar.limit)}${bar.unit ?? ''}`,
    reached(bar) ? 'pass' : 'MISS',
  ]);
  console.log(`\n${table(['bar', 'measured', 'asked', ''], rows)}`);
  return report.bars.every(reached);
}

/** Writes `{name, ratios, samples}`. */
export function writeReport(file: string, { name, ratios, samples }: Report): void {
  writeFileSync(file, `${JSON.stringify({ name, ratios, samples }, null, 2)}\n`);
}
