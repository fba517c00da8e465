/**
 * The gateway: the hub behind every socket and event stream. It knows no dialect; a dialect says whom an event is for and
 * how it is spelled (`SocketDialect`), and opens a session for every peer that it has authenticated.
 *
 * Promises. One tail of the log per process feeds all sessions, which get what they may see in the order of the log, each
 * event whole. An event is spelled once per variant and its bytes are shared by all who get it. A session that goes on from
 * a position gets everything since (design promise 7), without a gap or a repeat: from the ring of recent events in memory
 * as far as that reaches back, before it from the dialect's read model, never from the log; also while events come in, after
 * a restart (the ring begins where the read model is) and while the read model lags. A member sees its room from the event
 * of its joining to that of its removal. A credential that is revoked closes its sessions as soon as the tail says so, and
 * while the tail has been silent for a second nothing is sent that did not come from it (promise 9).
 *
 * A position is "everything that this session may see up to and including it has been sent": the frames of one event leave
 * together, the last says its position, those before it the position before.
 *
 * Connections are leases in Postgres: a limit on them, and who is online, hold over all processes. What may be lost
 * (presence, typing) goes by NOTIFY.
 *
 * Limits (`GatewayLimits`): bytes that wait for one socket and for all, events and bytes of a ring, accounts remembered, time
 * to wait for a read model, reads under way; each is told by `gauges`. Who is too slow is closed so that it can resume.
 * When storage is away, sessions stay and get nothing; new ones are refused.
 */
export { maxEphemeralBytes } from './ephemeral.ts';
export { FrameBudget } from './frame-budget.ts';
export { type Encoding, eventStreamData, webSocketText } from './frames.ts';
export { createGateway, type Gateway, type GatewayOptions, type Sockets } from './gateway.ts';
export type { HubGauges, Target } from './hub.ts';
export { defaultLimits, type GatewayLimits } from './limits.ts';
export { gatewayMigrations } from './migrations.ts';
export { openPresence, type Presence } from './presence.ts';
export type { Session } from './session.ts';
export type { Opened, OpenRequest } from './sessions.ts';
export type { ReadModel } from './shared.ts';
export type {
  AccountRef,
  CloseCause,
  Closing,
  FramePositions,
  Heartbeat,
  HistoryItem,
  HistoryPage,
  MembershipSpan,
  Revocation,
  Route,
  SocketDialect,
  Variant,
} from './socket-dialect.ts';
export { eventStreamSubscriber, type Subscriber, type SubscriberListener, socketSubscriber } from './subscriber.ts';
