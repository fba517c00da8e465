import type { Bar } from '../report.ts';
import type { Ingest } from './index.ts';
import type { SingleFigures } from './single.ts';

const minSingle = 0.5;
const minSingle64 = 0.4;
const minBatch = 0.5;
const maxP99Ratio = 3;
const maxLagS = 1;
const maxCatchUpS = 10;
const maxChangeWithSize = 15;

/** The bars of what was measured. */
export function barsOf({ single, single64, batch, atSize }: Ingest): Bar[] {
  const bars: Bar[] = [];
  const atLeast = (name: string, value: number, limit: number): void => {
    bars.push({ name, value, bound: 'at least', limit });
  };
  const atMost = (name: string, value: number, limit: number, unit = ''): void => {
    bars.push({ name, value, bound: 'at most', limit, unit });
  };
  if (single) atLeast('single: ratio at 256 connections', single.ratio, minSingle);
  if (single64) atLeast('single64: ratio at 64 connections', single64.ratio, minSingle64);
  if (single) atMost('p99 over the bare route, 256', single.p99Ratio, maxP99Ratio);
  if (single64) atMost('p99 over the bare route, 64', single64.p99Ratio, maxP99Ratio);
  if (single) atMost('projector behind the head, 256', lagS(single), maxLagS, ' s');
  if (single64) atMost('projector behind the head, 64', lagS(single64), maxLagS, ' s');
  if (batch) atLeast('batch: ratio', batch.ratio, minBatch);
  if (batch) atMost('projector catches up after a batch', batch.catchUpMs / 1_000, maxCatchUpS, ' s');
  if (atSize) atMost('change of the ratio with the log', Math.abs(changeWithSize(atSize)), maxChangeWithSize, ' %');
  return bars;
}

/** The longest lag of all windows, seconds. */
export function lagS({ parley }: SingleFigures): number {
  return Math.max(...parley.map(({ lag }) => lag.maxMs)) / 1_000;
}

/** How much the ratio changes from few to many events, percent; below 0 where it is worse. */
export function changeWithSize({ small, large }: { small: SingleFigures; large: SingleFigures }): number {
  return (large.ratio / small.ratio - 1) * 100;
}
