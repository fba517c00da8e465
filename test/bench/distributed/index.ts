/**
 * `npm run bench -- distributed`: what the way through Kafka costs, on the Postgres log; with `EVENTSTOREDB_URL` on that one,
 * without bars.
 *
 * - `relay`: events/s from the log into Kafka (acks=all) against a bare producer of the same messages in the same batches,
 *   while the same rows are read from an equal table; and its last third against its first, as the topic grows;
 * - `projector`: events/s of the projector through Kafka against through the tail;
 * - `latency`: p50 and p99 from accepted command to projected row at 1,000 commands/s, with a short and a long topic.
 *
 * Everything is on one machine: figures are of an idle one.
 */
import { availableParallelism } from 'node:os';
import { type Bar, figure, type Report, table } from '../report.ts';
import { step } from '../run.ts';
import { median } from '../stats.ts';
import { commandsPerSecond, type Latency, measureLatency } from './latency.ts';
import { measureProjector, type ProjectorFigures } from './projector.ts';
import { measureRelay, type RelayFigures, relayAll } from './relay.ts';
import { fillLog, fullEffort, quickEffort, type Stage, setStage } from './stage.ts';

/** What can be chosen with `--only`. */
export const distributedParts = ['relay', 'projector', 'latency'] as const;
export type DistributedPart = (typeof distributedParts)[number];

export interface DistributedOptions {
  readonly quick: boolean;
  readonly only: readonly DistributedPart[];
  /** Below which the data is kept for the time of the run; default: the system's temporary directory. */
  readonly dir?: string;
}

/** Everything that was measured; what was not chosen is absent. */
interface Distributed {
  readonly short?: Latency;
  readonly relay?: RelayFigures;
  readonly projector?: ProjectorFigures;
  readonly long?: Latency;
}

/** Runs the benchmark. Rejects when anything fails to run; a missed bar is none of that. */
export async function distributed({ quick, only, dir }: DistributedOptions): Promise<Report> {
  const effort = quick ? quickEffort : fullEffort;
  const stage = await setStage(effort, dir);
  try {
    const { eventStore } = stage.place;
    const log = eventStore ? 'the log in EventStoreDB, without bars' : 'the log in Postgres';
    console.log(
      `distributed${quick ? ', quick' : ''}: ${log}; Node ${process.version}, ${availableParallelism()} cores`,
    );
    const measured = await measure(stage, only);
    print(measured);
    const { relay, projector } = measured;
    return {
      name: 'distributed',
      ratios: { ...(relay && { relay: relay.ratio }), ...(projector && { projector: projector.ratio }) },
      samples: measured,
      bars: eventStore ? [] : barsOf(measured),
    };
  } finally {
    await stage.close();
  }
}

async function measure(stage: Stage, only: readonly DistributedPart[]): Promise<Distributed> {
  const has = (part: DistributedPart) => only.includes(part);
  const topic = stage.newTopic();
  const latency = () => measureLatency(stage, topic);
  const short = has('latency') ? await step('latency, short topic', latency) : undefined;
  await step(`${stage.effort.dispatches} dispatches into the log`, () => fillLog(stage, stage.effort.dispatches));
  const relay = has('relay') ? await step('relay', () => measureRelay(stage)) : undefined;
  const projector = has('projector') ? await step('projector', () => measureProjector(stage)) : undefined;
  const long = has('latency')
    ? await step('latency, long topic', async () => {
        await relayAll(stage, topic, await stage.log.head());
        return latency();
      })
    : undefined;
  return {
    ...(short && { short }),
    ...(relay && { relay }),
    ...(projector && { projector }),
    ...(long && { long }),
  };
}

function print({ relay, projector, short, long }: Distributed): void {
  const rows: string[][] = [];
  const rate = (samples: readonly number[]) => `${figure(median(samples))}/s`;
  if (relay) {
    const of = (side: RelayFigures['relay']) => rate(side.map(({ perSecond }) => perSecond));
    rows.push(['log to Kafka, events', of(relay.relay), of(relay.bare), figure(relay.ratio)]);
  }
  if (projector) {
    rows.push(['projector, events', rate(projector.kafka), rate(projector.tail), figure(projector.ratio)]);
  }
  if (rows.length > 0) console.log(`\n${table(['', 'through Kafka', 'reference', 'ratio'], rows)}`);
  if (relay) {
    const { bytesPerRecord, eventsPerSend, evenness } = relay;
    const shape = `${figure(bytesPerRecord)} bytes a record, ${figure(eventsPerSend)} events a send`;
    console.log(`${shape}; the relay's last third at ${figure(evenness)} of its first`);
  }
  const latencies = [short, long].filter((each) => each !== undefined);
  if (latencies.length === 0) return;
  const cells = latencies.map(({ events, p50Ms, p99Ms, maxMs }) => [
    `${figure(events)} events`,
    ...[p50Ms, p99Ms, maxMs].map((ms) => `${figure(ms)} ms`),
  ]);
  console.log(
    `\nFrom accepted command to projected row, ${figure(commandsPerSecond)} commands/s, by length of the topic`,
  );
  console.log(table(['', 'p50', 'p99', 'max'], cells));
}

/** What a topic's growth may cost: what the machine's own noise does. */
const growth = { relay: 0.8, latency: 1.5 };

function barsOf({ relay, projector, short, long }: Distributed): Bar[] {
  const atLeast = (name: string, value: number, limit: number): Bar => ({ name, value, bound: 'at least', limit });
  const worst = long ?? short;
  return [
    ...(relay ? [atLeast('relay / bare producer', relay.ratio, 0.7)] : []),
    ...(relay ? [atLeast('relay, last third / first', relay.evenness, growth.relay)] : []),
    ...(projector ? [atLeast('projector through Kafka / tail', projector.ratio, 0.6)] : []),
    ...(worst
      ? [{ name: 'p99 to the row', value: worst.p99Ms, bound: 'at most', limit: 250, unit: ' ms' } as const]
      : []),
    ...(short && long
      ? [
          {
            name: 'p50, long / short topic',
            value: long.p50Ms / short.p50Ms,
            bound: 'at most',
            limit: growth.latency,
          } as const,
        ]
      : []),
  ];
}
