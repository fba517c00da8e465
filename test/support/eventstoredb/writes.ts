/** The stand-in's writing calls: both flavours of append that the client knows, soft deletion, tombstones. */
import { setTimeout as delay } from 'node:timers/promises';
import shared from '@eventstore/db-client/generated/shared_pb.js';
import type { IStreamsServer } from '@eventstore/db-client/generated/streams_grpc_pb.js';
import streams from '@eventstore/db-client/generated/streams_pb.js';
import { status } from '@grpc/grpc-js';
import emptyPb from 'google-protobuf/google/protobuf/empty_pb.js';
import type { Failing, FaultBox } from './faults.ts';
import { type Expected, maxAppendBytes, type Proposed, type Store, type WriteResult } from './store.ts';
import {
  batchFailure,
  batchStatus,
  failure,
  identifier,
  maximumAppendSizeError,
  nameOf,
  type RpcError,
  streamDeletedError,
  uuidOf,
  wrongExpectedVersionError,
} from './wire.ts';

/** What the calls work with. */
export interface Context {
  readonly store: Store;
  readonly faults: FaultBox;
  readonly self: { readonly host: string; readonly port: number };
  readonly counters: { appends: number; appendsAnswered: number; reads: number; subscriptions: number };
  /** Destroys the connection that the peer's address names. */
  readonly cut: (peer: string) => void;
  /** Ends the process as kill -9 does. */
  readonly die: () => never;
}

type Outcome = WriteResult | { readonly result: 'failed'; readonly failing: Failing } | { readonly result: 'never' };

/** One write, with what the faults make of it. */
async function perform(context: Context, peer: string, stream: string, write: () => WriteResult): Promise<Outcome> {
  context.counters.appends += 1;
  const fate = context.faults.forWrite(stream);
  if (fate.exit === 'before') context.die();
  const result = fate.store ? write() : null;
  if (fate.exit === 'after') context.die();
  if (fate.delayMs > 0) await delay(fate.delayMs);
  if (fate.answer === 'cut') context.cut(peer);
  if (fate.answer === 'cut' || fate.answer === 'never') return { result: 'never' };
  context.counters.appendsAnswered += 1;
  if (fate.answer !== 'normal') return { result: 'failed', failing: fate.answer };
  if (result?.result === 'replayed' && !context.faults.keepsReplayPosition()) return { ...result, position: null };
  return result ?? { result: 'never' };
}

interface ProposedMessage {
  getId(): InstanceType<typeof shared.UUID> | undefined;
  getMetadataMap(): { get(name: string): string | undefined };
  getData_asU8(): Uint8Array;
  getCustomMetadata_asU8(): Uint8Array;
}

function proposed(message: ProposedMessage): Proposed {
  const metadata = message.getMetadataMap();
  return {
    id: uuidOf(message.getId()),
    type: metadata.get('type') ?? '',
    json: metadata.get('content-type') === 'application/json',
    data: message.getData_asU8(),
    metadata: message.getCustomMetadata_asU8(),
  };
}

function sizeOf(events: readonly Proposed[]): number {
  return events.reduce((sum, { type, data, metadata }) => sum + 2 * type.length + data.length + metadata.length, 0);
}

interface ExpectedOption {
  hasNoStream(): boolean;
  hasAny(): boolean;
  hasStreamExists(): boolean;
}

function expectedOf(option: ExpectedOption, revision: () => string): Expected {
  if (option.hasNoStream()) return 'no_stream';
  if (option.hasAny()) return 'any';
  return option.hasStreamExists() ? 'stream_exists' : Number(revision());
}

/** Append: one call for one append. */
function append(context: Context): IStreamsServer['append'] {
  return (call, callback) => {
    let options: InstanceType<typeof streams.AppendReq.Options> | undefined;
    const events: Proposed[] = [];
    call.on('data', (request: InstanceType<typeof streams.AppendReq>) => {
      const message = request.getProposedMessage();
      if (message) events.push(proposed(message));
      else options = request.getOptions();
    });
    call.on('end', async () => {
      const stream = nameOf(options?.getStreamIdentifier());
      if (!options) return callback({ code: status.INVALID_ARGUMENT, details: 'no options' });
      const expected = expectedOf(options, options.getRevision.bind(options));
      if (sizeOf(events) > maxAppendBytes) return callback(maximumAppendSizeError());
      const write = (): WriteResult => context.store.append(stream, expected, events);
      const outcome = await perform(context, call.getPeer(), stream, write);
      if (outcome.result === 'never') return;
      if (outcome.result === 'failed') return callback(failure(outcome.failing, context.self));
      if (outcome.result === 'stream-deleted') return callback(streamDeletedError(stream));
      callback(null, appendAnswer(outcome, expected));
    });
  };
}

function appendAnswer(
  outcome: Exclude<WriteResult, { result: 'stream-deleted' }>,
  expected: Expected,
): InstanceType<typeof streams.AppendResp> {
  const answer = new streams.AppendResp();
  if (outcome.result === 'wrong-expected-version') {
    const wrong = new streams.AppendResp.WrongExpectedVersion();
    if (outcome.current < 0) wrong.setCurrentNoStream(new shared.Empty());
    else wrong.setCurrentRevision(String(outcome.current));
    if (expected === 'any') wrong.setExpectedAny(new shared.Empty());
    else if (expected === 'no_stream') wrong.setExpectedNoStream(new shared.Empty());
    else if (expected === 'stream_exists') wrong.setExpectedStreamExists(new shared.Empty());
    else wrong.setExpectedRevision(String(expected));
    return answer.setWrongExpectedVersion(wrong);
  }
  const success = new streams.AppendResp.Success().setCurrentRevision(String(outcome.revision));
  if (outcome.position === null) success.setNoPosition(new shared.Empty());
  else {
    const position = String(outcome.position);
    success.setPosition(new streams.AppendResp.Position().setCommitPosition(position).setPreparePosition(position));
  }
  return answer.setSuccess(success);
}

interface Pending {
  readonly stream: string;
  readonly expected: Expected;
  readonly events: Proposed[];
  readonly timer: NodeJS.Timeout;
}

type BatchCall = Parameters<IStreamsServer['batchAppend']>[0];

/** The server's own limit for a write; a client's deadline can only be shorter. */
const writeTimeoutMs = 2_000;

/** BatchAppend: one call for all appends of a client, told apart by their correlation ids. */
function batchAppend(context: Context): IStreamsServer['batchAppend'] {
  return (call) => {
    const pending = new Map<string, Pending>();
    let underWay = 0;
    let ended = false;
    const finish = (): void => {
      if (ended && underWay === 0) call.end();
    };
    const answerError = (id: string, stream: string, error: ReturnType<typeof batchStatus.timeout>): void => {
      call.write(batchAnswer(id, stream).setError(error));
    };
    call.on('data', async (request: InstanceType<typeof streams.BatchAppendReq>) => {
      const id = uuidOf(request.getCorrelationId());
      const options = request.getOptions();
      if (options) {
        const stream = nameOf(options.getStreamIdentifier());
        const deadlineMs = options.getDeadline()?.toDate().getTime() ?? Number.POSITIVE_INFINITY;
        const timeoutMs = Math.min(deadlineMs - Date.now(), writeTimeoutMs);
        if (timeoutMs <= 0) return answerError(id, stream, batchStatus.timeout());
        const timer = setTimeout(() => {
          if (pending.delete(id)) answerError(id, stream, batchStatus.timeout());
        }, timeoutMs);
        const expected = expectedOf(options, options.getStreamPosition.bind(options));
        pending.set(id, { stream, expected, events: [], timer });
      }
      const write = pending.get(id);
      if (!write) return;
      for (const message of request.getProposedMessagesList()) write.events.push(proposed(message));
      const tooLarge = sizeOf(write.events) > maxAppendBytes;
      if (!tooLarge && !request.getIsFinal()) return;
      pending.delete(id);
      clearTimeout(write.timer);
      if (tooLarge) return answerError(id, write.stream, batchStatus.maximumAppendSize());
      underWay += 1;
      await settleBatch(context, call, id, write);
      underWay -= 1;
      finish();
    });
    call.on('end', () => {
      ended = true;
      finish();
    });
    call.on('cancelled', () => {
      for (const { timer } of pending.values()) clearTimeout(timer);
    });
  };
}

function batchAnswer(id: string, stream: string): InstanceType<typeof streams.BatchAppendResp> {
  const answer = new streams.BatchAppendResp().setCorrelationId(new shared.UUID().setString(id));
  return answer.setStreamIdentifier(identifier(stream));
}

async function settleBatch(context: Context, call: BatchCall, id: string, write: Pending): Promise<void> {
  const { stream, expected, events } = write;
  const store = (): WriteResult => context.store.append(stream, expected, events);
  const outcome = await perform(context, call.getPeer(), stream, store);
  const answer = batchAnswer(id, stream);
  switch (outcome.result) {
    case 'never':
      return;
    case 'failed': {
      const error = batchFailure(outcome.failing);
      if (error) call.write(answer.setError(error));
      else call.emit('error', failure(outcome.failing, context.self));
      return;
    }
    case 'wrong-expected-version':
      call.write(answer.setError(batchStatus.wrongExpectedVersion(expected, outcome.current)));
      return;
    case 'stream-deleted':
      call.write(answer.setError(batchStatus.streamDeleted(stream)));
      return;
    default: {
      const success = new streams.BatchAppendResp.Success().setCurrentRevision(String(outcome.revision));
      if (outcome.position === null) success.setNoPosition(new emptyPb.Empty());
      else {
        const position = String(outcome.position);
        success.setPosition(new shared.AllStreamPosition().setCommitPosition(position).setPreparePosition(position));
      }
      call.write(answer.setSuccess(success));
    }
  }
}

type Deleting = { readonly error: RpcError } | { readonly position: string } | null;

async function erase(
  context: Context,
  peer: string,
  options: (ExpectedOption & { getRevision(): string }) | undefined,
  stream: string,
  write: 'softDelete' | 'tombstone',
): Promise<Deleting> {
  const expected = options ? expectedOf(options, options.getRevision.bind(options)) : 'any';
  const outcome = await perform(context, peer, stream, () => context.store[write](stream, expected));
  switch (outcome.result) {
    case 'never':
      return null;
    case 'failed':
      return { error: failure(outcome.failing, context.self) };
    case 'wrong-expected-version':
      return { error: wrongExpectedVersionError(stream, expected, outcome.current) };
    case 'stream-deleted':
      return { error: streamDeletedError(stream) };
    default:
      return { position: String(outcome.position) };
  }
}

function softDelete(context: Context): IStreamsServer['delete'] {
  return async (call, callback) => {
    const options = call.request.getOptions();
    const stream = nameOf(options?.getStreamIdentifier());
    const done = await erase(context, call.getPeer(), options, stream, 'softDelete');
    if (!done) return;
    if ('error' in done) return callback(done.error);
    const { position } = done;
    const at = new streams.DeleteResp.Position().setCommitPosition(position).setPreparePosition(position);
    callback(null, new streams.DeleteResp().setPosition(at));
  };
}

function tombstone(context: Context): IStreamsServer['tombstone'] {
  return async (call, callback) => {
    const options = call.request.getOptions();
    const stream = nameOf(options?.getStreamIdentifier());
    const done = await erase(context, call.getPeer(), options, stream, 'tombstone');
    if (!done) return;
    if ('error' in done) return callback(done.error);
    const { position } = done;
    const at = new streams.TombstoneResp.Position().setCommitPosition(position).setPreparePosition(position);
    callback(null, new streams.TombstoneResp().setPosition(at));
  };
}

/** The writing half of the Streams service. */
export function writeCalls(context: Context): Pick<IStreamsServer, 'append' | 'batchAppend' | 'delete' | 'tombstone'> {
  return {
    append: append(context),
    batchAppend: batchAppend(context),
    delete: softDelete(context),
    tombstone: tombstone(context),
  };
}
