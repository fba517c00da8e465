import type { Encoding } from './frames.ts';
import type { HubSession } from './session.ts';
import type { Heartbeat } from './socket-dialect.ts';

/** A peer that is not pinged is looked at so often in an interval: its silence is known to a thirtieth. */
const looks = 30;

/** When a session is looked at for the first time: at any moment of the interval, so that those who come together do not stay so. */
export function firstBeatMs({ intervalMs, ping }: Heartbeat, nowMs: number, random: number): number {
  return nowMs + intervalMs * (ping === 'none' ? 1 / looks : random);
}

/** Looks whether a session's peer is alive, and pings it. Answers when to look again; null when it is dead. */
export function beat<Context>(
  session: HubSession<Context>,
  { intervalMs, graceMs, ping }: Heartbeat,
  encoding: Encoding,
  nowMs: number,
): number | null {
  const { subscriber } = session;
  const received = subscriber.receivedBytes;
  const heard = received !== session.heardBytes;
  session.heardBytes = received;
  if (ping === 'none') {
    if (heard) session.heardMs = nowMs;
    const silentUntilMs = session.heardMs + intervalMs;
    return nowMs >= silentUntilMs ? null : Math.min(nowMs + intervalMs / looks, silentUntilMs);
  }
  if (session.onProbation) {
    session.onProbation = false;
    return heard ? session.heardMs + intervalMs : null;
  }
  session.heardMs = nowMs;
  if (ping !== 'protocol') {
    subscriber.write(encoding.encode(ping.frame));
    return nowMs + intervalMs;
  }
  session.onProbation = true;
  // A ping that was not answered keeps its place: the next answer is taken for its own.
  if (session.pingAnswered) {
    session.pingAnswered = false;
    session.pinged = session.position;
  }
  subscriber.ping();
  return nowMs + graceMs;
}
