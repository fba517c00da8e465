/** The tables for people. */
import { maxOwnCpuShare } from '../load-control.ts';
import type { LoadResult } from '../load-job.ts';
import { figure, table } from '../report.ts';
import { median } from '../stats.ts';
import { changeWithSize, lagS } from './bars.ts';
import type { BatchFigures } from './batch.ts';
import type { Ingest, Memory } from './index.ts';
import type { SingleFigures } from './single.ts';
import { dispatchPerSecond } from './stage.ts';

/** Prints everything that was measured. */
export function printAll(measured: Ingest): void {
  const { single, single64, dispatchAlone, batch, atSize, fullRate, memory } = measured;
  const singles = [single64, single].filter((each) => each !== undefined);
  if (singles.length > 0) {
    console.log('\n(a) single sends: medians of the windows');
    printSingles(singles.map((each) => [`${each.connections} connections`, each]));
    for (const each of singles) printBeside(each);
    if (dispatchAlone) {
      const { serverCpuShare, postgresCpuShare, dispatchedPerSecond } = dispatchAlone;
      console.log(
        `dispatching ${figure(dispatchedPerSecond)} messages/s, with nothing coming in, takes the server` +
          ` ${figure(serverCpuShare * 100)} % of a core and Postgres ${figure(postgresCpuShare * 100)} %`,
      );
    }
  }
  if (batch) printBatch(batch);
  if (atSize) {
    const { small, large } = atSize;
    console.log('\n(e) single sends, by events in the log when their windows began and ended');
    printSingles([
      [`${eventsOf(small)}, 256 connections`, small],
      [`${eventsOf(large)}, 256 connections`, large],
    ]);
    console.log(
      `the ratio is ${figure(Math.abs(changeWithSize(atSize)))} % ${changeWithSize(atSize) < 0 ? 'lower' : 'higher'}`,
    );
  }
  console.log('\n(d) memory');
  console.log(
    table(['', 'events', 'server', 'Postgres'], [memoryRow('start', memory.start), memoryRow('end', memory.end)]),
  );
  if (fullRate) {
    console.log(
      `\ndispatch without a pace: ${figure(fullRate.perSecond)} messages/s over ${figure(fullRate.messages)} messages` +
        ` (server ${figure(fullRate.serverCpuUs)} us each, Postgres ${figure(fullRate.postgresCpuUs)} us)`,
    );
  }
}

function printSingles(all: readonly (readonly [string, SingleFigures])[]): void {
  const of = (samples: readonly { load: LoadResult }[], pick: (load: LoadResult) => number): string =>
    figure(median(samples.map(({ load }) => pick(load))));
  const rows = all.flatMap(([name, { parley, bare, ratio, p99Ratio }]) => [
    [
      `Parley, ${name}`,
      of(parley, (load) => load.perSecond),
      of(parley, (load) => load.p50Ms),
      of(parley, (load) => load.p99Ms),
      figure(median(parley.map((each) => each.serverCpuUs))),
      figure(median(parley.map((each) => each.postgresCpuUs))),
      of(parley, (load) => load.ownCpuShare * 100),
      figure(ratio),
      figure(p99Ratio),
    ],
    [
      `bare, ${name}`,
      of(bare, (load) => load.perSecond),
      of(bare, (load) => load.p50Ms),
      of(bare, (load) => load.p99Ms),
      figure(median(bare.map((each) => each.serverCpuUs))),
      '',
      of(bare, (load) => load.ownCpuShare * 100),
    ],
  ]);
  const header = ['', 'req/s', 'p50 ms', 'p99 ms', 'server us', 'Postgres us', 'load %', 'ratio', 'p99 ratio'];
  console.log(table(header, rows));
  console.log("us: processor time per request; load %: the load generator's share of a core");
  for (const [name, { parley, bare }] of all) {
    const share = Math.max(...[...parley, ...bare].map(({ load }) => load.ownCpuShare));
    if (share > maxOwnCpuShare) {
      console.log(
        `WARNING: the load generator took ${figure(share * 100)} % of a core at ${name}: it may be the limit`,
      );
    }
  }
}

function printBeside(figures: SingleFigures): void {
  const { connections, parley, bare } = figures;
  const by = new Map<string, number[]>();
  for (const { postgresCpuUsBy } of parley) {
    for (const [name, us] of Object.entries(postgresCpuUsBy)) by.set(name, [...(by.get(name) ?? []), us]);
  }
  const parts = [...by]
    .map(([name, values]) => [name, median(values)] as const)
    .filter(([, us]) => us >= 0.05)
    .sort((a, b) => b[1] - a[1])
    .map(([name, us]) => `${name} ${figure(us)}`);
  const last = parley.at(-1);
  console.log(
    [
      `${connections} connections:`,
      `  projector behind the head: ${figure(lagS(figures))} s, ${figure(Math.max(...parley.map(({ lag }) => lag.maxEvents)))} events at most`,
      `  dispatched: ${figure(median(parley.map((each) => each.dispatchedPerSecond)))} messages/s (asked: ${dispatchPerSecond}), backlog ${figure(last?.backlog ?? 0)} at the end`,
      `  Postgres, us per request: ${parts.join(', ')}`,
      `  while the bare route was measured, server, Postgres and sandbox took ${share(bare.map((each) => each.backgroundCpuShare))} of a core`,
      `  not the benchmark's own: ${share(parley.map((each) => each.othersCpuShare))} of a core beside Parley, ${share(bare.map((each) => each.othersCpuShare))} beside the bare route`,
    ].join('\n'),
  );
}

function share(values: readonly number[]): string {
  return `${figure(median(values) * 100)} %`;
}

function printBatch({ parley, raw, ratio, charactersPerRow }: BatchFigures): void {
  const rows = parley.flatMap((sample, round) => {
    const reference = raw[round];
    return [
      [
        `batches, run ${round + 1}`,
        figure(sample.messagesPerSecond * sample.eventsPerMessage),
        figure(sample.load.p50Ms),
        figure(sample.load.p99Ms),
        figure(sample.serverCpuUs),
        figure(sample.postgresCpuUs),
        figure(sample.load.ownCpuShare * 100),
        figure(sample.catchUpMs / 1_000),
        figure(sample.lag.maxMs / 1_000),
        figure(sample.backlog),
      ],
      [
        `INSERTs, run ${round + 1}`,
        figure(reference?.perSecond ?? 0),
        figure(reference?.p50Ms ?? 0),
        figure(reference?.p99Ms ?? 0),
      ],
    ];
  });
  console.log(
    `\n(b) batches of 1,000 sends, ${figure(parley[0]?.messages ?? 0)} messages a run, ${figure(parley[0]?.eventsPerMessage ?? 0)} events per message,` +
      ` ${figure(charactersPerRow)} characters a row`,
  );
  const header = [
    '',
    'events/s',
    'p50 ms',
    'p99 ms',
    'server us',
    'Postgres us',
    'load %',
    'catch-up s',
    'lag s',
    'backlog',
  ];
  console.log(table(header, rows));
  console.log(
    `p50, p99: of a batch, of a statement; us: processor time per message; ratio of the medians: ${figure(ratio)}`,
  );
  const share = Math.max(...parley.map(({ load }) => load.ownCpuShare));
  if (share > maxOwnCpuShare) {
    console.log(`WARNING: the load generator took ${figure(share * 100)} % of a core: it may be the limit`);
  }
}

function eventsOf({ parley }: SingleFigures): string {
  return `${figure(parley[0]?.eventsBefore ?? 0)} to ${figure(parley.at(-1)?.eventsAfter ?? 0)} events`;
}

function memoryRow(name: string, { events, serverBytes, postgresBytes }: Memory): string[] {
  const mib = (bytes: number): string => `${figure(bytes / 1024 / 1024)} MiB`;
  return [name, figure(events), mib(serverBytes), mib(postgresBytes)];
}
